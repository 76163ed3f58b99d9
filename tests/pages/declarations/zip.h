// What the reports' lines of C++ use of libzip.
#pragma once
#include <cstdint>

#define ZIP_RDONLY 16
struct zip_t;
struct zip_file_t;
zip_t* zip_open(const char* path, int flags, int* error);
zip_file_t* zip_fopen_index(zip_t* archive, uint64_t index, uint32_t flags);
int64_t zip_fread(zip_file_t* file, void* buffer, uint64_t bytes);
int zip_fclose(zip_file_t* file);
int zip_close(zip_t* archive);
