// A CUDA runtime that computes nothing. Device memory is host memory, copies copy, kernels are counted. Stream capture obeys the rules of the
// CUDA Programming Guide, section "CUDA Graphs": what a capture forbids invalidates it and says so on standard error.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <driver_types.h>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <sys/mman.h>
#include <thread>

#define API extern "C" __attribute__((visibility("default")))

struct Graph {
  size_t nodes;
};
struct Stream;
struct Capture {
  unsigned long long id;
  int mode;
  std::thread::id owner;
  Stream *origin;
  size_t nodes = 0;
  bool invalid = false;
  std::set<Stream *> forked;
};
struct Stream {
  Capture *capture = nullptr;
};
struct Event {
  unsigned long long capture = 0;
  Stream *from = nullptr;
  bool recorded = false;
};
struct Dim3 {
  unsigned x, y, z;
};

static std::recursive_mutex MUTEX;
#define LOCK std::lock_guard<std::recursive_mutex> lock(MUTEX)
static Stream LEGACY;
static std::set<Capture *> ACTIVE;
static unsigned long long NEXT_CAPTURE = 1;
static std::map<char *, size_t> DEVICE_MEMORY, PINNED_MEMORY;
static size_t USED = 0, TOTAL = (size_t)140 << 30;
static thread_local cudaError_t LAST_ERROR = cudaSuccess;
static thread_local int THREAD_MODE = cudaStreamCaptureModeGlobal;

// In the order of COUNTERS in __init__.py.
enum Counter { KERNELS, TO_DEVICE, TO_HOST, ON_DEVICE, STREAM_WAITS, DEVICE_WAITS, MALLOCS, FREES, CAPTURES, LAUNCHES, GRAPHS_ALIVE, HOST_COPIES_CAPTURED, COUNTERS };
static std::atomic<long> COUNTS[COUNTERS];

API void stub_counts(long *out) {
  for (int i = 0; i < COUNTERS; i++) out[i] = COUNTS[i];
}
API void stub_set_memory(size_t bytes) { TOTAL = bytes; }

// ---- faults: the n-th call of a function from now fails; a fault that kills the context fails every call after it as well
static std::string FAULTY;
static long CALLS_LEFT = 0;
static int FAULT = 0, STICKY = 0;

static bool kills_context(int error) {
  static const std::set<int> deadly = {214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 999};
  return deadly.count(error) != 0;
}
API void stub_inject(const char *function, long calls, int error) {
  LOCK;
  FAULTY = function, CALLS_LEFT = calls, FAULT = error, STICKY = 0;
}
API int stub_fault_of(const char *function) {
  LOCK;
  if (STICKY) return STICKY;
  if (CALLS_LEFT > 0 && FAULTY == function && --CALLS_LEFT == 0) {
    if (kills_context(FAULT)) STICKY = FAULT;
    return FAULT;
  }
  return 0;
}
API void stub_count_kernel() { COUNTS[KERNELS]++; }

static void say(const char *rule, const char *call = "") { fprintf(stderr, "cuda_stub: %s %s\n", rule, call); }
static cudaError_t failed(cudaError_t error) {
  if (error != cudaSuccess) LAST_ERROR = error;
  return error;
}
#define ENTER                                                                                                                              \
  if (int fault = stub_fault_of(__func__)) return failed((cudaError_t)fault)

static Stream *stream_of(cudaStream_t stream) {  // 0, 1 and 2: the default, legacy and per-thread streams
  return (size_t)stream <= 2 ? &LEGACY : (Stream *)stream;
}

// ---- what a capture forbids
static bool unsafe(const char *call) {  // calls such as cudaMalloc, while this thread captures or any thread captures globally
  LOCK;
  if (THREAD_MODE == cudaStreamCaptureModeRelaxed) return false;
  bool forbidden = false;
  for (auto capture : ACTIVE) {
    bool own = capture->owner == std::this_thread::get_id() && capture->mode != cudaStreamCaptureModeRelaxed;
    bool global = THREAD_MODE == cudaStreamCaptureModeGlobal && capture->mode == cudaStreamCaptureModeGlobal;
    if (own || global) capture->invalid = forbidden = true;
  }
  if (forbidden) say("unsafe call during a capture:", call);
  return forbidden;
}
#define ENTER_UNSAFE                                                                                                                       \
  ENTER;                                                                                                                                   \
  if (unsafe(__func__)) return failed(cudaErrorStreamCaptureUnsupported)

static bool invalidated(Stream *stream, const char *call) {  // waiting for a stream that captures
  LOCK;
  if (!stream->capture) return false;
  stream->capture->invalid = true;
  say("the capturing stream is waited for:", call);
  return true;
}
static void count_node(cudaStream_t stream) {
  LOCK;
  Stream *own = stream_of(stream);
  if (own->capture) {
    own->capture->nodes++;
    return;
  }
  for (auto capture : ACTIVE)
    if (capture->owner == std::this_thread::get_id()) say("the capturing thread works outside of the captured stream");
}

// ---- the device
API cudaError_t cudaGetDeviceCount(int *count) { ENTER; *count = 1; return cudaSuccess; }
API cudaError_t cudaGetDevice(int *device) { ENTER; *device = 0; return cudaSuccess; }
API cudaError_t cudaSetDevice(int) { ENTER; return cudaSuccess; }
API cudaError_t cudaDriverGetVersion(int *version) { *version = 13020; return cudaSuccess; }
API cudaError_t cudaRuntimeGetVersion(int *version) { *version = 13020; return cudaSuccess; }
API cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int) {
  memset(p, 0, sizeof *p);
  strcpy(p->name, "Stub H200");
  p->totalGlobalMem = TOTAL;
  p->major = 9, p->minor = 0, p->multiProcessorCount = 132, p->warpSize = 32;
  p->maxThreadsPerBlock = 1024, p->maxThreadsPerMultiProcessor = 2048, p->maxBlocksPerMultiProcessor = 32;
  p->sharedMemPerBlock = 49152, p->sharedMemPerBlockOptin = 232448, p->sharedMemPerMultiprocessor = 233472;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536, p->l2CacheSize = 60 << 20, p->textureAlignment = 512;
  p->maxGridSize[0] = 2147483647, p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024, p->maxThreadsDim[2] = 64;
  p->concurrentKernels = p->unifiedAddressing = 1, p->asyncEngineCount = 3;
  return cudaSuccess;
}
API cudaError_t cudaDeviceGetAttribute(int *value, int attribute, int) {  // by the numbers of cudaDeviceAttr
  static const std::map<int, int> known = {{1, 1024},   {2, 1024},    {3, 1024},    {4, 64},    {5, 2147483647}, {6, 65535},  {7, 65535}, {8, 49152},
                                           {10, 32},    {16, 132},    {39, 2048},   {41, 1},    {75, 9},         {76, 0},     {81, 233472}, {82, 65536},
                                           {95, 1},     {97, 232448}, {106, 32}};
  auto found = known.find(attribute);
  *value = found == known.end() ? 0 : found->second;
  return cudaSuccess;
}
API cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) { *least = 0, *greatest = -5; return cudaSuccess; }
API cudaError_t cudaDeviceCanAccessPeer(int *can, int, int) { *can = 0; return cudaSuccess; }
API cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) { return cudaSuccess; }
API cudaError_t cudaDeviceGetPCIBusId(char *id, int size, int) { snprintf(id, size, "0000:00:00.0"); return cudaSuccess; }
API cudaError_t cudaGetLastError() { auto error = STICKY ? (cudaError_t)STICKY : LAST_ERROR; LAST_ERROR = cudaSuccess; return error; }
API cudaError_t cudaPeekAtLastError() { return STICKY ? (cudaError_t)STICKY : LAST_ERROR; }
API cudaError_t cudaDeviceSynchronize() {
  ENTER;
  COUNTS[DEVICE_WAITS]++;
  LOCK;
  if (ACTIVE.empty()) return cudaSuccess;
  for (auto capture : ACTIVE) capture->invalid = true;
  say("device-wide wait during a capture");
  return failed(cudaErrorStreamCaptureUnsupported);
}

// ---- memory
static cudaError_t allocate(void **pointer, size_t size) {
  LOCK;
  if (size > TOTAL - USED) return failed(cudaErrorMemoryAllocation);
  void *memory = mmap(nullptr, size ? size : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return failed(cudaErrorMemoryAllocation);
  DEVICE_MEMORY[(char *)memory] = size;
  USED += size;
  COUNTS[MALLOCS]++;
  *pointer = memory;
  return cudaSuccess;
}
API cudaError_t cudaMemGetInfo(size_t *free, size_t *total) { ENTER; *total = TOTAL, *free = TOTAL - USED; return cudaSuccess; }
API cudaError_t cudaMalloc(void **pointer, size_t size) { ENTER_UNSAFE; return allocate(pointer, size); }
API cudaError_t cudaMallocAsync(void **pointer, size_t size, cudaStream_t) { ENTER; return allocate(pointer, size); }
API cudaError_t cudaMallocManaged(void **pointer, size_t size, unsigned) { ENTER; return allocate(pointer, size); }
API cudaError_t cudaFree(void *pointer) {
  if (!pointer) return cudaSuccess;
  ENTER_UNSAFE;
  LOCK;
  auto found = DEVICE_MEMORY.find((char *)pointer);
  if (found != DEVICE_MEMORY.end()) {
    munmap(pointer, found->second ? found->second : 1);
    USED -= found->second;
    DEVICE_MEMORY.erase(found);
  }
  COUNTS[FREES]++;
  return cudaSuccess;
}
API cudaError_t cudaFreeAsync(void *pointer, cudaStream_t) { return cudaFree(pointer); }
API cudaError_t cudaHostAlloc(void **pointer, size_t size, unsigned) {
  ENTER_UNSAFE;
  *pointer = calloc(1, size ? size : 1);
  LOCK;
  PINNED_MEMORY[(char *)*pointer] = size;
  return cudaSuccess;
}
API cudaError_t cudaMallocHost(void **pointer, size_t size) { return cudaHostAlloc(pointer, size, 0); }
API cudaError_t cudaFreeHost(void *pointer) {
  ENTER_UNSAFE;
  LOCK;
  PINNED_MEMORY.erase((char *)pointer);
  free(pointer);
  return cudaSuccess;
}
API cudaError_t cudaHostRegister(void *, size_t, unsigned) { return cudaSuccess; }
API cudaError_t cudaHostUnregister(void *) { return cudaSuccess; }
static bool lies_in(std::map<char *, size_t> &blocks, const void *pointer) {
  LOCK;
  auto next = blocks.upper_bound((char *)pointer);
  if (next == blocks.begin()) return false;
  --next;
  return (char *)pointer < next->first + next->second;
}
API cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *a, const void *pointer) {
  memset(a, 0, sizeof *a);
  a->type = lies_in(DEVICE_MEMORY, pointer)   ? cudaMemoryTypeDevice
            : lies_in(PINNED_MEMORY, pointer) ? cudaMemoryTypeHost
                                              : cudaMemoryTypeUnregistered;
  a->devicePointer = a->hostPointer = (void *)pointer;
  return cudaSuccess;
}
static cudaError_t copy(void *to, const void *from, size_t size, cudaStream_t stream) {
  bool to_device = lies_in(DEVICE_MEMORY, to), from_device = lies_in(DEVICE_MEMORY, from);
  COUNTS[to_device && from_device ? ON_DEVICE : to_device ? TO_DEVICE : TO_HOST]++;
  count_node(stream);
  if (!stream_of(stream)->capture) {
    memmove(to, from, size);
  } else if (!(to_device && from_device)) {
    COUNTS[HOST_COPIES_CAPTURED]++;
    say(to_device ? "a copy to the device is captured, with the host's address" : "a copy to the host is captured");
  }
  return cudaSuccess;
}
API cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, cudaMemcpyKind, cudaStream_t stream) {
  ENTER;
  return copy(to, from, size, stream);
}
API cudaError_t cudaMemcpyPeerAsync(void *to, int, const void *from, int, size_t size, cudaStream_t stream) { ENTER; return copy(to, from, size, stream); }
API cudaError_t cudaMemcpy(void *to, const void *from, size_t size, cudaMemcpyKind) { ENTER_UNSAFE; return copy(to, from, size, nullptr); }
API cudaError_t cudaMemcpyToSymbol(const void *, const void *, size_t, size_t, cudaMemcpyKind) { return cudaSuccess; }
API cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t pitch, size_t width, size_t height, cudaMemcpyKind, cudaStream_t stream) {
  ENTER;
  count_node(stream);
  if (!stream_of(stream)->capture)
    for (size_t row = 0; row < height; row++) memmove((char *)to + row * to_pitch, (char *)from + row * pitch, width);
  return cudaSuccess;
}
API cudaError_t cudaMemset(void *pointer, int value, size_t size) { ENTER_UNSAFE; memset(pointer, value, size); return cudaSuccess; }
API cudaError_t cudaMemsetAsync(void *pointer, int value, size_t size, cudaStream_t stream) {
  ENTER;
  count_node(stream);
  // fresh memory is zero already, and writing to large blocks would make the system provide them
  if (!stream_of(stream)->capture && (size < (1 << 26) || value)) memset(pointer, value, size);
  return cudaSuccess;
}

// ---- streams and events
API cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned, int) { ENTER; *stream = (cudaStream_t) new Stream; return cudaSuccess; }
API cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) { return cudaStreamCreateWithPriority(stream, flags, 0); }
API cudaError_t cudaStreamCreate(cudaStream_t *stream) { return cudaStreamCreateWithPriority(stream, 0, 0); }
API cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
API cudaError_t cudaStreamGetPriority(cudaStream_t, int *priority) { *priority = 0; return cudaSuccess; }
API cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ENTER;
  COUNTS[STREAM_WAITS]++;
  if (invalidated(stream_of(stream), __func__) || unsafe(__func__)) return failed(cudaErrorStreamCaptureUnsupported);
  return cudaSuccess;
}
API cudaError_t cudaStreamQuery(cudaStream_t stream) {
  ENTER;
  if (invalidated(stream_of(stream), __func__) || unsafe(__func__)) return failed(cudaErrorStreamCaptureUnsupported);
  return cudaSuccess;
}
API cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) { ENTER; *event = (cudaEvent_t) new Event; return cudaSuccess; }
API cudaError_t cudaEventCreate(cudaEvent_t *event) { return cudaEventCreateWithFlags(event, 0); }
API cudaError_t cudaEventDestroy(cudaEvent_t event) { delete (Event *)event; return cudaSuccess; }
API cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  ENTER;
  LOCK;
  Stream *from = stream_of(stream);
  *(Event *)event = {from->capture ? from->capture->id : 0, from, true};
  return cudaSuccess;
}
API cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) { return cudaEventRecordWithFlags(event, stream, 0); }
static cudaError_t finished(cudaEvent_t event, const char *call) {
  if (((Event *)event)->capture) {
    say("a captured event is waited for:", call);
    return failed(cudaErrorCapturedEvent);
  }
  return unsafe(call) ? failed(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}
API cudaError_t cudaEventQuery(cudaEvent_t event) { ENTER; return finished(event, __func__); }
API cudaError_t cudaEventSynchronize(cudaEvent_t event) { ENTER; return finished(event, __func__); }
API cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t, cudaEvent_t) { *milliseconds = 1e-3f; return cudaSuccess; }
API cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t waited, unsigned) {
  ENTER;
  LOCK;
  Stream *own = stream_of(stream);
  Event *event = (Event *)waited;
  if (!event->recorded) return cudaSuccess;
  if (!event->capture) {
    if (!own->capture || event->from == own) return cudaSuccess;
    own->capture->invalid = true;
    say("a captured stream waits for an event from outside of the capture");
    return failed(cudaErrorStreamCaptureIsolation);
  }
  for (auto capture : ACTIVE) {
    if (capture->id != event->capture) continue;
    if (!own->capture && own == &LEGACY) {
      capture->invalid = true;
      say("the legacy stream would depend on a capture");
      return failed(cudaErrorStreamCaptureImplicit);
    }
    if (!own->capture) own->capture = capture, capture->forked.insert(own);  // another stream joins the capture
    if (own == capture->origin) capture->forked.erase(event->from);
  }
  return cudaSuccess;
}

// ---- captures and graphs
API cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode *mode) {
  int before = THREAD_MODE;
  THREAD_MODE = *mode;
  *mode = (cudaStreamCaptureMode)before;
  return cudaSuccess;
}
API cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  ENTER;
  LOCK;
  Stream *own = stream_of(stream);
  if (own == &LEGACY) return failed(cudaErrorStreamCaptureUnsupported);
  if (own->capture) return failed(cudaErrorIllegalState);
  own->capture = new Capture{NEXT_CAPTURE++, mode, std::this_thread::get_id(), own};
  ACTIVE.insert(own->capture);
  COUNTS[CAPTURES]++;
  return cudaSuccess;
}
API cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
  ENTER;
  LOCK;
  Capture *capture = stream_of(stream)->capture;
  *graph = nullptr;
  if (!capture) return failed(cudaErrorIllegalState);
  cudaError_t error = cudaSuccess;
  if (capture->owner != std::this_thread::get_id() && capture->mode != cudaStreamCaptureModeRelaxed) error = cudaErrorStreamCaptureWrongThread;
  if (!capture->forked.empty()) error = cudaErrorStreamCaptureUnjoined;
  if (capture->invalid) error = cudaErrorStreamCaptureInvalidated;
  capture->origin->capture = nullptr;
  for (auto fork : capture->forked) fork->capture = nullptr;
  ACTIVE.erase(capture);
  if (error == cudaSuccess) *graph = (cudaGraph_t) new Graph{capture->nodes};
  delete capture;
  return failed(error);
}
static cudaStreamCaptureStatus status_of(Capture *capture) {
  return !capture             ? cudaStreamCaptureStatusNone
         : capture->invalid ? cudaStreamCaptureStatusInvalidated
                            : cudaStreamCaptureStatusActive;
}
API cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status) {
  LOCK;
  *status = status_of(stream_of(stream)->capture);
  return cudaSuccess;
}
API cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus *status, unsigned long long *id, cudaGraph_t *graph,
                                         const cudaGraphNode_t **nodes, const void **, size_t *count) {
  LOCK;
  Capture *capture = stream_of(stream)->capture;
  if (status) *status = status_of(capture);
  if (id) *id = capture ? capture->id : 0;
  if (graph) *graph = nullptr;
  if (nodes) *nodes = nullptr;
  if (count) *count = 0;
  return cudaSuccess;
}
API cudaError_t cudaStreamGetCaptureInfo_v2(cudaStream_t stream, cudaStreamCaptureStatus *status, unsigned long long *id, cudaGraph_t *graph,
                                            const cudaGraphNode_t **nodes, size_t *count) {
  return cudaStreamGetCaptureInfo(stream, status, id, graph, nodes, nullptr, count);
}
API cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long) {
  ENTER;
  *executable = (cudaGraphExec_t) new Graph{((Graph *)graph)->nodes};
  COUNTS[GRAPHS_ALIVE]++;
  return cudaSuccess;
}
API cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags) {
  return cudaGraphInstantiateWithFlags(executable, graph, flags);
}
API cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *, size_t *count) { *count = ((Graph *)graph)->nodes; return cudaSuccess; }
API cudaError_t cudaGraphDestroy(cudaGraph_t graph) { delete (Graph *)graph; return cudaSuccess; }
API cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { COUNTS[GRAPHS_ALIVE]--; delete (Graph *)executable; return cudaSuccess; }
API cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t stream) {
  ENTER;
  COUNTS[LAUNCHES]++;
  count_node(stream);
  return cudaSuccess;
}

// ---- kernels
static cudaError_t launch(cudaStream_t stream) {
  if (int fault = stub_fault_of("cudaLaunchKernel")) return failed((cudaError_t)fault);
  COUNTS[KERNELS]++;
  count_node(stream);
  return cudaSuccess;
}
API cudaError_t cudaLaunchKernel(const void *, Dim3, Dim3, void **, size_t, cudaStream_t stream) { return launch(stream); }
API cudaError_t __cudaLaunchKernel(void *, Dim3, Dim3, void **, size_t, cudaStream_t stream) { return launch(stream); }
API cudaError_t cudaLaunchCooperativeKernel(const void *, Dim3, Dim3, void **, size_t, cudaStream_t stream) { return launch(stream); }
API cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *configuration, const void *, void **) { return launch(configuration->stream); }
API cudaError_t __cudaGetKernel(void **kernel, const void *function) { *kernel = (void *)function; return cudaSuccess; }
API cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *a, const void *) {
  memset(a, 0, sizeof *a);
  a->maxThreadsPerBlock = 1024, a->numRegs = 32, a->ptxVersion = a->binaryVersion = 90, a->maxDynamicSharedSizeBytes = 49152;
  return cudaSuccess;
}
API cudaError_t cudaFuncSetAttribute(const void *, int, int) { return cudaSuccess; }
API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *, int, size_t) { *blocks = 8; return cudaSuccess; }
API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *, int, size_t, unsigned) { *blocks = 8; return cudaSuccess; }
API cudaError_t cudaStreamAddCallback(cudaStream_t stream, void (*call)(cudaStream_t, cudaError_t, void *), void *data, unsigned) {
  call(stream, cudaSuccess, data);
  return cudaSuccess;
}
API cudaError_t cudaLaunchHostFunc(cudaStream_t, void (*call)(void *), void *data) { call(data); return cudaSuccess; }
API cudaError_t cudaProfilerStart() { return cudaSuccess; }
API cudaError_t cudaProfilerStop() { return cudaSuccess; }
static int nothing() { return 0; }
API cudaError_t cudaGetDriverEntryPointByVersion(const char *, void **function, unsigned, unsigned long long, int *found) {
  *function = (void *)nothing;
  if (found) *found = 0;
  return cudaSuccess;
}
API cudaError_t cudaGetDriverEntryPoint(const char *, void **function, unsigned long long, int *found) {
  return cudaGetDriverEntryPointByVersion(nullptr, function, 0, 0, found);
}
API cudaError_t cudaGetSymbolAddress(void **pointer, const void *) { static char memory[65536]; *pointer = memory; return cudaSuccess; }
API signed char _ZN3c104cuda17hasPrimaryContextEa(signed char) { return 1; }  // c10::cuda::hasPrimaryContext
