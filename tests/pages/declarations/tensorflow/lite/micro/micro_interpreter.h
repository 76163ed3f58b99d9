// What the reports' lines of C++ use of LiteRT for Microcontrollers.
#pragma once
#include <cstdint>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace tflite {
class MicroInterpreter {
 public:
  MicroInterpreter(const Model* model, const MicroOpResolver& resolver, uint8_t* arena,
                   size_t arena_size);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteStatus Reset();
  template <class T>
  T* typed_input_tensor(int index) {
    return nullptr;
  }
  template <class T>
  T* typed_output_tensor(int index) {
    return nullptr;
  }
};
}  // namespace tflite
