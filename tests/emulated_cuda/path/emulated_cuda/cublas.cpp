// cuBLAS on the emulated device: matrix products and the few other functions that CuPy calls for real numbers.
//
// Matrices are column-major. Scalars given by address are read at the call if they are on the host, and when the work
// runs if they are on the device. NumPy's OpenBLAS multiplies, if it was found.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <set>
#include <vector>

#include "device.h"

namespace {

enum Status {
    OK = 0,
    NOT_INITIALIZED = 1,
    BAD_VALUE = 7,
    EXECUTION_FAILED = 13,
    INTERNAL_ERROR = 14,
    UNSUPPORTED = 15
};
enum DataType { FLOAT = 0, DOUBLE = 1 };
enum { FAST_TF32 = 77, TF32_MATH = 3 };

struct Handle {
    void* stream = nullptr;
    void* workspace = nullptr;
    int pointer_mode = 0, math_mode = 0;
};
std::set<Handle*> handles;

typedef void (*Sgemm)(int, int, int, int64_t, int64_t, int64_t, float, const float*, int64_t, const float*, int64_t,
                      float, float*, int64_t);
typedef void (*Dgemm)(int, int, int, int64_t, int64_t, int64_t, double, const double*, int64_t, const double*, int64_t,
                      double, double*, int64_t);
Sgemm library_sgemm = nullptr;
Dgemm library_dgemm = nullptr;

// Keep the ten bits of the mantissa that TF32 has.
float round_to_tf32(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if ((bits & 0x7f800000u) != 0x7f800000u) bits = (bits + 0xfffu + (bits >> 13 & 1)) & ~0x1fffu;
    std::memcpy(&value, &bits, 4);
    return value;
}

void multiply_plainly(int ta, int tb, int64_t m, int64_t n, int64_t k, auto alpha, const auto* a, int64_t lda,
                      const auto* b, int64_t ldb, auto beta, auto* c, int64_t ldc) {
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < m; i++) {
            decltype(alpha) sum = 0;
            for (int64_t l = 0; l < k; l++)
                sum += (ta ? a[l + i * lda] : a[i + l * lda]) * (tb ? b[j + l * ldb] : b[l + j * ldb]);
            c[i + j * ldc] = alpha * sum + (beta == 0 ? 0 : beta * c[i + j * ldc]);
        }
}

void multiply(int ta, int tb, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda, const float* b,
              int64_t ldb, float beta, float* c, int64_t ldc) {
    if (library_sgemm)
        library_sgemm(102, ta ? 112 : 111, tb ? 112 : 111, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    else
        multiply_plainly(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void multiply(int ta, int tb, int64_t m, int64_t n, int64_t k, double alpha, const double* a, int64_t lda,
              const double* b, int64_t ldb, double beta, double* c, int64_t ldc) {
    if (library_dgemm)
        library_dgemm(102, ta ? 112 : 111, tb ? 112 : 111, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    else
        multiply_plainly(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

// A scalar given by address.
template <class T>
struct Number {
    const T* address;
    T value;
    bool on_device;
    Number(const Handle* h, const void* p) : address(static_cast<const T*>(p)), value(), on_device(h->pointer_mode) {
        if (!on_device) value = *address;
    }
    T get() const { return on_device ? *address : value; }
};

// Submit work with a scalar result. A result on the host is synchronized for.
int submit_with_result(Handle* h, const char* kind, std::function<int()> work) {
    if (!h->pointer_mode && is_capturing(h->stream)) {
        synchronize_device("synchronize for a result of cuBLAS");
        return INTERNAL_ERROR;
    }
    if (submit(h->stream, kind, std::move(work))) return EXECUTION_FAILED;
    return !h->pointer_mode && synchronize_device("synchronize for a result of cuBLAS") ? EXECUTION_FAILED : OK;
}

size_t extent(int64_t rows, int64_t columns, int64_t leading, int64_t stride, int64_t matrices) {
    return rows && columns && matrices ? (matrices - 1) * std::abs(stride) + (columns - 1) * leading + rows : 0;
}

template <class T>
int gemm(Handle* h, int ta, int tb, int64_t m, int64_t n, int64_t k, const void* alpha_, const void* a_, int64_t lda,
         int64_t stride_a, const void* b_, int64_t ldb, int64_t stride_b, const void* beta_, void* c_, int64_t ldc,
         int64_t stride_c, int64_t matrices, bool tf32) {
    Locked locked;
    if (!handles.count(h)) return NOT_INITIALIZED;
    if (m < 0 || n < 0 || k < 0 || ta < 0 || ta > 2 || tb < 0 || tb > 2 || lda < std::max<int64_t>(1, ta ? k : m) ||
        ldb < std::max<int64_t>(1, tb ? n : k) || ldc < std::max<int64_t>(1, m))
        return BAD_VALUE;
    auto a = static_cast<const T*>(a_);
    auto b = static_cast<const T*>(b_);
    auto c = static_cast<T*>(c_);
    const size_t needed_a = extent(ta ? k : m, ta ? m : k, lda, stride_a, matrices),
                 needed_b = extent(tb ? n : k, tb ? k : n, ldb, stride_b, matrices);
    if ((needed_a && !within_device(a, needed_a * sizeof(T))) ||
        (needed_b && !within_device(b, needed_b * sizeof(T))) ||
        (m && n && !within_device(c, extent(m, n, ldc, stride_c, matrices) * sizeof(T))))
        return EXECUTION_FAILED;
    if (!h->workspace && is_capturing(h->stream)) count("cuBLAS captured without a workspace");
    Number<T> alpha(h, alpha_), beta(h, beta_);
    int error = submit(h->stream, matrices == 1 ? "matrix product" : "matrix products, stacked", [=] {
        if (m == 0 || n == 0) return SUCCESS;
        for (int64_t i = 0; i < matrices; i++) {
            const T *first = a + i * stride_a, *second = b + i * stride_b;
            std::vector<T> rounded_first, rounded_second;
            if (tf32 && sizeof(T) == 4) {
                rounded_first.assign(first, first + extent(ta ? k : m, ta ? m : k, lda, 0, 1));
                rounded_second.assign(second, second + extent(tb ? n : k, tb ? k : n, ldb, 0, 1));
                for (T& value : rounded_first) value = round_to_tf32(value);
                for (T& value : rounded_second) value = round_to_tf32(value);
                first = rounded_first.data();
                second = rounded_second.data();
            }
            multiply(ta, tb, m, n, k, alpha.get(), first, lda, second, ldb, beta.get(), c + i * stride_c, ldc);
        }
        return SUCCESS;
    });
    return error ? EXECUTION_FAILED : OK;
}

int gemm_of(int a, int b, int c, auto for_float, auto for_double) {
    if (a == FLOAT && b == FLOAT && c == FLOAT) return for_float();
    if (a == DOUBLE && b == DOUBLE && c == DOUBLE) return for_double();
    std::fprintf(stderr, "emulated CUDA: a matrix product of types %d and %d to %d is not emulated\n", a, b, c);
    return UNSUPPORTED;
}

}  // namespace

extern "C" {

void emu_use_blas(Sgemm single_precision, Dgemm double_precision) {
    library_sgemm = single_precision;
    library_dgemm = double_precision;
}

int emu_unsupported_blas(const char* name) {
    std::fprintf(stderr, "emulated CUDA: %s is not emulated\n", name);
    return UNSUPPORTED;
}

int cublasCreate_v2(Handle** h) {
    Locked locked;
    count("cuBLAS handle made");
    *h = new Handle;
    handles.insert(*h);
    return OK;
}

// Synchronizes the device, as documented, which invalidates a capture.
int cublasDestroy_v2(Handle* h) {
    Locked locked;
    if (!handles.erase(h)) return NOT_INITIALIZED;
    delete h;
    return synchronize_device("synchronize device, by cublasDestroy") ? INTERNAL_ERROR : OK;
}

int cublasSetStream_v2(Handle* h, void* stream) {
    h->stream = stream;
    h->workspace = nullptr;
    return OK;
}
int cublasGetStream_v2(Handle* h, void** stream) {
    *stream = h->stream;
    return OK;
}
int cublasSetWorkspace_v2(Handle* h, void* workspace, size_t bytes) {
    if (!within_device(workspace, bytes)) return BAD_VALUE;
    h->workspace = workspace;
    return OK;
}
int cublasSetPointerMode_v2(Handle* h, int mode) {
    h->pointer_mode = mode;
    return OK;
}
int cublasGetPointerMode_v2(Handle* h, int* mode) {
    *mode = h->pointer_mode;
    return OK;
}
int cublasSetMathMode(Handle* h, int mode) {
    h->math_mode = mode;
    return OK;
}
int cublasGetMathMode(Handle* h, int* mode) {
    *mode = h->math_mode;
    return OK;
}
int cublasSetAtomicsMode(Handle*, int) { return OK; }
int cublasGetVersion_v2(Handle*, int* version) {
    *version = 130000;
    return OK;
}
const char* cublasGetStatusName(int status) {
    switch (status) {
        case OK: return "CUBLAS_STATUS_SUCCESS";
        case NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
        case BAD_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
        case EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
        case INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
        default: return "CUBLAS_STATUS_NOT_SUPPORTED";
    }
}
const char* cublasGetStatusString(int) { return "error of the emulated cuBLAS"; }

#define EMU_GEMM(letter, T)                                                                                            \
    int cublas##letter##gemm_v2(Handle* h, int ta, int tb, int m, int n, int k, const T* alpha, const T* a, int lda,   \
                                const T* b, int ldb, const T* beta, T* c, int ldc) {                                   \
        return gemm<T>(h, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1,                            \
                       h->math_mode == TF32_MATH);                                                                     \
    }                                                                                                                  \
    int cublas##letter##gemmStridedBatched(Handle* h, int ta, int tb, int m, int n, int k, const T* alpha, const T* a, \
                                           int lda, long long sa, const T* b, int ldb, long long sb, const T* beta,    \
                                           T* c, int ldc, long long sc, int matrices) {                                \
        return gemm<T>(h, ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, matrices,                  \
                       h->math_mode == TF32_MATH);                                                                     \
    }                                                                                                                  \
    int cublas##letter##gemmBatched(Handle* h, int ta, int tb, int m, int n, int k, const T* alpha_,                   \
                                    const T* const* a, int lda, const T* const* b, int ldb, const T* beta_,            \
                                    T* const* c, int ldc, int matrices) {                                              \
        Locked locked;                                                                                                 \
        Number<T> alpha(h, alpha_), beta(h, beta_);                                                                    \
        return submit(h->stream, "matrix products, by address",                                                        \
                      [=] {                                                                                            \
                          for (int i = 0; i < matrices; i++)                                                           \
                              multiply(ta, tb, m, n, k, alpha.get(), a[i], lda, b[i], ldb, beta.get(), c[i], ldc);     \
                          return SUCCESS;                                                                              \
                      })                                                                                               \
                   ? EXECUTION_FAILED                                                                                  \
                   : OK;                                                                                               \
    }                                                                                                                  \
    int cublas##letter##gemv_v2(Handle* h, int ta, int m, int n, const T* alpha_, const T* a, int lda, const T* x,     \
                                int incx, const T* beta_, T* y, int incy) {                                            \
        Locked locked;                                                                                                 \
        Number<T> alpha(h, alpha_), beta(h, beta_);                                                                    \
        return submit(h->stream, "matrix and vector",                                                                  \
                      [=] {                                                                                            \
                          for (int i = 0; i < (ta ? n : m); i++) {                                                     \
                              T sum = 0;                                                                               \
                              for (int j = 0; j < (ta ? m : n); j++)                                                   \
                                  sum +=                                                                               \
                                      (ta ? a[j + int64_t(i) * lda] : a[i + int64_t(j) * lda]) * x[int64_t(j) * incx]; \
                              T& place = y[int64_t(i) * incy];                                                         \
                              place = alpha.get() * sum + (beta.get() == 0 ? 0 : beta.get() * place);                  \
                          }                                                                                            \
                          return SUCCESS;                                                                              \
                      })                                                                                               \
                   ? EXECUTION_FAILED                                                                                  \
                   : OK;                                                                                               \
    }                                                                                                                  \
    int cublas##letter##ger_v2(Handle* h, int m, int n, const T* alpha_, const T* x, int incx, const T* y, int incy,   \
                               T* a, int lda) {                                                                        \
        Locked locked;                                                                                                 \
        Number<T> alpha(h, alpha_);                                                                                    \
        return submit(h->stream, "outer product",                                                                      \
                      [=] {                                                                                            \
                          for (int j = 0; j < n; j++)                                                                  \
                              for (int i = 0; i < m; i++)                                                              \
                                  a[i + int64_t(j) * lda] +=                                                           \
                                      alpha.get() * x[int64_t(i) * incx] * y[int64_t(j) * incy];                       \
                          return SUCCESS;                                                                              \
                      })                                                                                               \
                   ? EXECUTION_FAILED                                                                                  \
                   : OK;                                                                                               \
    }                                                                                                                  \
    int cublas##letter##dot_v2(Handle* h, int n, const T* x, int incx, const T* y, int incy, T* result) {              \
        Locked locked;                                                                                                 \
        return submit_with_result(h, "dot product", [=] {                                                              \
            T sum = 0;                                                                                                 \
            for (int i = 0; i < n; i++) sum += x[int64_t(i) * incx] * y[int64_t(i) * incy];                            \
            *result = sum;                                                                                             \
            return SUCCESS;                                                                                            \
        });                                                                                                            \
    }
EMU_GEMM(S, float)
EMU_GEMM(D, double)

int cublasGemmStridedBatchedEx(Handle* h, int ta, int tb, int m, int n, int k, const void* alpha, const void* a,
                               int type_a, int lda, long long sa, const void* b, int type_b, int ldb, long long sb,
                               const void* beta, void* c, int type_c, int ldc, long long sc, int matrices, int compute,
                               int) {
    return gemm_of(
        type_a, type_b, type_c,
        [=] {
            return gemm<float>(h, ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, matrices,
                               compute == FAST_TF32 || h->math_mode == TF32_MATH);
        },
        [=] {
            return gemm<double>(h, ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, matrices, false);
        });
}
int cublasGemmEx(Handle* h, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int type_a, int lda,
                 const void* b, int type_b, int ldb, const void* beta, void* c, int type_c, int ldc, int compute,
                 int algorithm) {
    return cublasGemmStridedBatchedEx(h, ta, tb, m, n, k, alpha, a, type_a, lda, 0, b, type_b, ldb, 0, beta, c, type_c,
                                      ldc, 0, 1, compute, algorithm);
}
}
