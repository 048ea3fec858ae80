// The CUDA driver and NVRTC: functions that CuPy looks up by name in NVIDIA's libraries.
#include "device.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <cstring>

namespace {
struct Program {
    std::string source, log, image;
    std::vector<std::string> expressions, lowered;
};
typedef int (*Compiler)(Program*, const char* source, int expressions_count, const char** expressions);
Compiler compiler = nullptr;  // build.py
}  // namespace

extern "C" {

void emu_configure(int is_lazy, int is_strict, size_t memory, const char* trace_path, Compiler function) {
    lazy = is_lazy;
    strict = is_strict;
    total_memory = memory;
    if (*trace_path && (trace = std::fopen(trace_path, "w"))) std::setvbuf(trace, nullptr, _IOLBF, 0);
    compiler = function;
}

// ---------------------------------------------------------------- driver

int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int* version) {
    *version = 13000;
    return SUCCESS;
}
int cuGetErrorName(int error, const char** text) {
    static const std::map<int, const char*> names = {{SUCCESS, "CUDA_SUCCESS"},
                                                     {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
                                                     {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
                                                     {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
                                                     {INVALID_RESOURCE_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
                                                     {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
                                                     {LAUNCH_FAILURE, "CUDA_ERROR_LAUNCH_FAILED"},
                                                     {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED"},
                                                     {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
                                                     {CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
                                                     {CAPTURE_IMPLICIT, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT"}};
    auto name = names.find(error);
    *text = name == names.end() ? "CUDA_ERROR_UNKNOWN" : name->second;
    return SUCCESS;
}
int cuGetErrorString(int, const char** text) {
    *text = "error of the emulated CUDA device";
    return SUCCESS;
}
int cuCtxGetCurrent(void** context) {
    *context = reinterpret_cast<void*>(1);
    return SUCCESS;
}
int cuCtxSetCurrent(void*) { return SUCCESS; }
int cuCtxGetDevice(int* device) {
    *device = 0;
    return SUCCESS;
}
int cuStreamGetCtx(void*, void** context) {
    *context = reinterpret_cast<void*>(1);
    return SUCCESS;
}

// `image` is what nvrtcGetCUBIN returned: the path of a shared object.
int cuModuleLoadData(void** module, const char* image) {
    Locked locked;
    *module = dlopen(std::string(image, strcspn(image, "\n")).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (*module) return SUCCESS;
    complain(dlerror());
    return fail(INVALID_IMAGE);
}
int cuModuleLoad(void** module, const char* path) { return cuModuleLoadData(module, path); }
int cuModuleUnload(void*) { return SUCCESS; }  // a graph may still use its kernels

int cuModuleGetFunction(const Kernel** function, void* module, const char* name) {
    Locked locked;
    *function = static_cast<const Kernel*>(dlsym(module, (std::string("emu_kernel_") + name).c_str()));
    return *function ? SUCCESS : fail(NOT_FOUND);
}

int cuModuleGetGlobal_v2(void** pointer, size_t* bytes, void* module, const char* name) {
    Locked locked;
    *pointer = dlsym(module, name);
    Dl_info info;
    ElfW(Sym)* symbol = nullptr;
    if (!*pointer || !dladdr1(*pointer, &info, reinterpret_cast<void**>(&symbol), RTLD_DL_SYMENT) || !symbol)
        return fail(NOT_FOUND);
    if (bytes) *bytes = symbol->st_size;
    device_blocks[reinterpret_cast<uintptr_t>(*pointer)] = {symbol->st_size, nullptr, 0};
    return SUCCESS;
}
int cuModuleGetGlobal(void** pointer, size_t* bytes, void* module, const char* name) {
    return cuModuleGetGlobal_v2(pointer, bytes, module, name);
}

int cuLaunchKernel(const Kernel* kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void* stream, void** parameters, void** extra) {
    Locked locked;
    if (!gx || !gy || !gz || !bx || !by || !bz || gy > 65535 || gz > 65535 || bz > 64 ||
        uint64_t(bx) * by * bz > 1024 || shared > 49152 || extra)
        return fail(INVALID_VALUE);
    // Copy the arguments, each aligned to 16 bytes.
    size_t bytes = 0;
    for (int i = 0; i < kernel->parameters; i++) bytes += (kernel->sizes[i] + 15) / 16 * 16;
    auto values = std::make_shared<std::vector<max_align_t>>(bytes / sizeof(max_align_t) + 1);
    auto arguments = std::make_shared<std::vector<void*>>(kernel->parameters);
    char* place = reinterpret_cast<char*>(values->data());
    for (int i = 0; i < kernel->parameters; i++) {
        std::memcpy(place, parameters[i], kernel->sizes[i]);
        (*arguments)[i] = place;
        place += (kernel->sizes[i] + 15) / 16 * 16;
    }
    return fail(submit(stream, "kernel", [=, keep = values] {
        return run_kernel(*kernel, {gx, gy, gz}, {bx, by, bz}, shared, arguments->data());
    }));
}

int cuFuncGetAttribute(int* value, int attribute, void*) {
    *value = attribute == 0 ? 1024 : attribute == 5 || attribute == 6 ? 90 : 0;
    return SUCCESS;
}
int cuFuncSetAttribute(void*, int, int) { return SUCCESS; }
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void*, int, size_t) {
    *blocks = 2;
    return SUCCESS;
}
int cuOccupancyMaxPotentialBlockSize(int* grid, int* block, void*, void*, size_t, int) {
    *grid = 4;
    *block = 512;
    return SUCCESS;
}

// ---------------------------------------------------------------- run-time compilation

void emu_set_program(Program* program, const char* image, const char* log, int names, const char** lowered) {
    program->image = image;
    program->log = log;
    program->lowered.assign(lowered, lowered + names);
}

int nvrtcVersion(int* major, int* minor) {
    *major = 13;
    *minor = 0;
    return 0;
}
const char* nvrtcGetErrorString(int error) { return error ? "the kernel does not compile" : "success"; }
int nvrtcCreateProgram(Program** program, const char* source, const char*, int, const char**, const char**) {
    *program = new Program;
    (*program)->source = source;
    return 0;
}
int nvrtcDestroyProgram(Program** program) {
    delete *program;
    *program = nullptr;
    return 0;
}
int nvrtcAddNameExpression(Program* program, const char* expression) {
    program->expressions.push_back(expression);
    return 0;
}
int nvrtcCompileProgram(Program* program, int, const char**) {
    std::vector<const char*> expressions;
    for (auto& expression : program->expressions) expressions.push_back(expression.c_str());
    return compiler(program, program->source.c_str(), expressions.size(), expressions.data()) ? 6 : 0;
}
int nvrtcGetLoweredName(Program* program, const char* expression, const char** lowered) {
    for (size_t i = 0; i < program->expressions.size(); i++)
        if (program->expressions[i] == expression) {
            *lowered = program->lowered[i].c_str();
            return 0;
        }
    return 10;
}
int nvrtcGetCUBINSize(Program* program, size_t* bytes) {
    *bytes = program->image.size() + 1;
    return 0;
}
int nvrtcGetCUBIN(Program* program, char* image) {
    std::memcpy(image, program->image.c_str(), program->image.size() + 1);
    return 0;
}
int nvrtcGetPTXSize(Program* program, size_t* bytes) { return nvrtcGetCUBINSize(program, bytes); }
int nvrtcGetPTX(Program* program, char* image) { return nvrtcGetCUBIN(program, image); }
int nvrtcGetLTOIRSize(Program*, size_t*) { return 11; }
int nvrtcGetLTOIR(Program*, char*) { return 11; }
int nvrtcGetNVVMSize(Program*, size_t*) { return 11; }
int nvrtcGetNVVM(Program*, char*) { return 11; }
int nvrtcGetProgramLogSize(Program* program, size_t* bytes) {
    *bytes = program->log.size() + 1;
    return 0;
}
int nvrtcGetProgramLog(Program* program, char* log) {
    std::memcpy(log, program->log.c_str(), program->log.size() + 1);
    return 0;
}
}
