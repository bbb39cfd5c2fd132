/* A libnvidia-ml.so.1 that tells of two cards as the real one does: https://docs.nvidia.com/deploy/nvml-api/.
   The second tells of its name and memory only. STUB_NVML names what fails: "init", "lost". */
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15 };
struct memory { unsigned long long total, free, used; };
struct rates { unsigned int gpu, memory; };

static int cards[2] = {0, 1};
static int fails(const char *what) { const char *set = getenv("STUB_NVML"); return set && !strcmp(set, what); }
static int of(void *card) { return *(int *)card; }

int nvmlInitWithFlags(unsigned int flags) { (void)flags; return fails("init") ? DRIVER_NOT_LOADED : SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int code) { (void)code; return "stub"; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return fails("lost") ? GPU_IS_LOST : SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **card) { *card = &cards[index]; return SUCCESS; }
int nvmlDeviceGetName(void *card, char *name, unsigned int size) {
    strncpy(name, of(card) ? "Stub GT 30" : "Stub RTX 9090", size);
    return SUCCESS;
}
int nvmlDeviceGetUUID(void *card, char *uuid, unsigned int size) {
    strncpy(uuid, "GPU-0f0f0f0f", size);
    return of(card) ? NOT_SUPPORTED : SUCCESS;
}
int nvmlDeviceGetMemoryInfo(void *card, struct memory *memory) {
    memory->total = of(card) ? 2ull << 30 : 24ull << 30;
    memory->used = of(card) ? 0 : 5ull << 30;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}
int nvmlDeviceGetUtilizationRates(void *card, struct rates *rates) {
    rates->gpu = 42;
    rates->memory = 7;
    return of(card) ? NOT_SUPPORTED : SUCCESS;
}
int nvmlDeviceGetTemperature(void *card, int sensor, unsigned int *degrees) {
    (void)sensor;
    *degrees = 61;
    return of(card) ? NOT_SUPPORTED : SUCCESS;
}
int nvmlDeviceGetPowerUsage(void *card, unsigned int *milliwatts) {
    *milliwatts = 123456;
    return of(card) ? NOT_SUPPORTED : SUCCESS;
}
