// What the reports' lines of C++ use of tensorflow/lite/interpreter.h, declared as it is there.
#pragma once
#include <cstddef>
#include <memory>
#include <vector>

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
struct TfLiteTensor {
  size_t bytes;
};

namespace tflite {
class Interpreter {
 public:
  const std::vector<int>& inputs() const;
  TfLiteTensor* input_tensor(size_t index);
  TfLiteTensor* output_tensor(size_t index);
  template <class T>
  T* typed_input_tensor(int index) {
    return nullptr;
  }
  template <class T>
  const T* typed_output_tensor(int index) const {
    return nullptr;
  }
  TfLiteStatus ResizeInputTensor(int tensor_index, const std::vector<int>& dims);
  TfLiteStatus AllocateTensors();
  TfLiteStatus ResetVariableTensors();
  TfLiteStatus Invoke();
};
}  // namespace tflite
