// What the reports' lines of C++ use of libzstd.
#pragma once
#include <cstddef>

size_t ZSTD_decompress(void* target, size_t capacity, const void* source, size_t bytes);
