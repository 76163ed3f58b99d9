// What the reports' lines of C++ use of liblz4.
#pragma once
#include <cstddef>

#define LZ4F_VERSION 100
struct LZ4F_dctx;
struct LZ4F_decompressOptions_t;
size_t LZ4F_createDecompressionContext(LZ4F_dctx** context, unsigned version);
size_t LZ4F_freeDecompressionContext(LZ4F_dctx* context);
size_t LZ4F_decompress(LZ4F_dctx* context, void* target, size_t* target_bytes, const void* source,
                       size_t* source_bytes, const LZ4F_decompressOptions_t* options);
