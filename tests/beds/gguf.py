"""A language model small enough for a test: a two-layer llama with random weights in GGUF format, half a megabyte."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

WIDTH = 64
LAYERS = 2
HEADS = 4
FEED_FORWARD = 128
CONTEXT = 2048
ALIGNMENT = 32

# The value types of the format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9
F32_TENSOR = 0
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6

TOKENS: list[tuple[str, int]] = [
    ("<unk>", UNKNOWN),
    ("<s>", CONTROL),
    ("</s>", CONTROL),
    *((f"<0x{value:02X}>", BYTE) for value in range(256)),
    ("\u2581", NORMAL),
]
"""Every byte is a token, so any prompt can be said."""


def write_tiny_model(path: Path, *, padding: int = 0, is_embedder: bool = False) -> None:
    """Write the model to `path`, always the same bytes for the same arguments.

    `padding` bytes of a dummy description make it bigger, for instance for a pull that takes a while. An embedder can
    do nothing but embed.
    """
    metadata = list(_metadata(padding))
    if is_embedder:
        # The mean of all tokens. By a pooling type Ollama tells an embedder: server/images.go.
        metadata.append(_number("llama.pooling_type", 1))
    directory, weights = bytearray(), bytearray()
    shapes = list(_shapes())
    chance = random.Random(1)
    for name, shape in shapes:
        directory += _string(f"{name}.weight")
        directory += struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, F32_TENSOR, len(weights))
        values = _weights(name, math.prod(shape), chance)
        weights += _endless(values) if name == "output" else values
        weights += _fill(len(weights))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(metadata)) + b"".join(metadata) + directory
    path.write_bytes(head + _fill(len(head)) + weights)


def _metadata(padding: int) -> Iterator[bytes]:
    names = [text for text, _ in TOKENS]
    kinds = [kind for _, kind in TOKENS]
    yield _entry("general.architecture", STRING, _string("llama"))
    yield _number("general.file_type", 0)
    if padding:
        yield _entry("general.description", STRING, _string("x" * padding))
    yield _number("llama.context_length", CONTEXT)
    yield _number("llama.embedding_length", WIDTH)
    yield _number("llama.block_count", LAYERS)
    yield _number("llama.feed_forward_length", FEED_FORWARD)
    yield _number("llama.attention.head_count", HEADS)
    yield _number("llama.attention.head_count_kv", HEADS)
    yield _number("llama.rope.dimension_count", WIDTH // HEADS)
    yield _number("llama.vocab_size", len(TOKENS))
    yield _entry("llama.attention.layer_norm_rms_epsilon", FLOAT32, struct.pack("<f", 1e-5))
    yield _entry("tokenizer.ggml.model", STRING, _string("llama"))
    yield _array("tokenizer.ggml.tokens", STRING, [_string(name) for name in names])
    yield _array("tokenizer.ggml.scores", FLOAT32, [struct.pack("<f", 0.0) for _ in names])
    yield _array("tokenizer.ggml.token_type", INT32, [struct.pack("<i", kind) for kind in kinds])
    yield _number("tokenizer.ggml.unknown_token_id", names.index("<unk>"))
    yield _number("tokenizer.ggml.bos_token_id", names.index("<s>"))
    yield _number("tokenizer.ggml.eos_token_id", names.index("</s>"))


def _shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "token_embd", (WIDTH, len(TOKENS))
    yield "output_norm", (WIDTH,)
    yield "output", (WIDTH, len(TOKENS))
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm", (WIDTH,)
        yield f"{block}.ffn_norm", (WIDTH,)
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"{block}.{part}", (WIDTH, WIDTH)
        yield f"{block}.ffn_gate", (WIDTH, FEED_FORWARD)
        yield f"{block}.ffn_up", (WIDTH, FEED_FORWARD)
        yield f"{block}.ffn_down", (FEED_FORWARD, WIDTH)


def _weights(name: str, count: int, chance: random.Random) -> bytes:
    if name.endswith("norm"):
        return struct.pack("<f", 1.0) * count
    return struct.pack(f"<{count}f", *(chance.gauss(0, 0.05) for _ in range(count)))


def _endless(output: bytes) -> bytes:
    """The output weights with none for the special tokens, so that no text ends before it is as long as asked for.

    Their score is then always the middle one, and a sampler takes its token from the best 40.
    """
    special = sum(kind != BYTE for _, kind in TOKENS[:3]) * WIDTH * 4
    return bytes(special) + output[special:]


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _entry(key: str, kind: int, value: bytes) -> bytes:
    return _string(key) + struct.pack("<I", kind) + value


def _number(key: str, value: int) -> bytes:
    return _entry(key, UINT32, struct.pack("<I", value))


def _array(key: str, kind: int, items: Sequence[bytes]) -> bytes:
    return _entry(key, ARRAY, struct.pack("<IQ", kind, len(items)) + b"".join(items))


def _fill(length: int) -> bytes:
    return b"\0" * (-length % ALIGNMENT)
