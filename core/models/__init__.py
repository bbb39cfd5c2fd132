"""What can be done with the models that an Ollama has, beside pulling them.

- `models.Models`: what is installed and what is in memory, of each instance; load, unload, delete.
- `health.health` is Ollama's health in one answer; `health.ready` waits for a good one.
- `gpu.GpuSettings`: the graphics processor that there is, and Aura's settings about it.
- `recommended.RECOMMENDED` are the models that Aura recommends.
"""
