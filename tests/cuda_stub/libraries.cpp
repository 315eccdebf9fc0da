// cuBLAS, cuSOLVER and cuDNN: handles and descriptors exist, sizes are sane, and nothing is computed.
#include <cstdlib>
#include <cstring>

#define API extern "C" __attribute__((visibility("default")))
API int stub_fault_of(const char *function);
API void stub_count_kernel();
#define ENTER                                                                                                                              \
  if (int fault = stub_fault_of(__func__)) return fault

static int make(void **made, size_t size) {
  *made = calloc(1, size);
  return 0;
}

API int cublasCreate_v2(void **handle) { ENTER; return make(handle, 64); }
API int cublasLtCreate(void **handle) { ENTER; return make(handle, 64); }
API int cublasGetMathMode(void *, int *mode) { *mode = 0; return 0; }
API int cublasGetPointerMode_v2(void *, int *mode) { *mode = 0; return 0; }
API int cublasLtMatmulDescCreate(void **made, int, int) { return make(made, 256); }
API int cublasLtMatrixLayoutCreate(void **made, int, unsigned long, unsigned long, long) { return make(made, 256); }
API int cublasLtMatmulPreferenceCreate(void **made) { return make(made, 256); }
API int cublasLtMatmulAlgoGetHeuristic(void *, void *, void *, void *, void *, void *, void *, int wanted, char *results, int *found) {
  memset(results, 0, wanted > 0 ? 96 : 0);
  *found = 1;
  return 0;
}
API int cusolverDnCreate(void **handle) { ENTER; return make(handle, 64); }
API int cusolverDnCreateParams(void **made) { return make(made, 64); }
API int cusolverDnXpotrf_bufferSize(void *, void *, int, long, int, void *, long, int, size_t *device, size_t *host) { *device = 256, *host = 0; return 0; }
API int cusolverDnDpotrf_bufferSize(void *, int, int, void *, int, int *size) { *size = 16; return 0; }
API int cudnnCreate(void **handle) { ENTER; return make(handle, 64); }
API int cudnnBackendCreateDescriptor(int, void **made) { return make(made, 1024); }
API int cudnnBackendDestroyDescriptor(void *made) { free(made); return 0; }
API int cudnnBackendInitialize(void *) { return 0; }
API int cudnnBackendFinalize(void *) { return 0; }
API int cudnnBackendSetAttribute(void *, int, int, long, const void *) { return 0; }
API int cudnnBackendGetAttribute(void *, int, int type, long wanted, long *count, void *values) {
  if (count) *count = 1;
  if (values && wanted > 0 && type == 3) *(long *)values = 0;  // 3: CUDNN_TYPE_INT64, such as the size of a workspace
  return 0;
}
API int cudnnBackendExecute(void *, void *, void *) {
  ENTER;
  stub_count_kernel();
  return 0;
}
API int cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(void *, int, int, void *, void *, void *, void *, void *, size_t *size) { *size = 0; return 0; }
API int cudnnGetBatchNormalizationBackwardExWorkspaceSize(void *, int, int, void *, void *, void *, void *, void *, void *, void *, size_t *size) { *size = 0; return 0; }
API int cudnnGetBatchNormalizationTrainingExReserveSpaceSize(void *, int, int, void *, void *, size_t *size) { *size = 0; return 0; }
