// What the reports' lines of C++ use of LiteRT for Microcontrollers.
#pragma once
#include "tensorflow/lite/interpreter.h"

namespace tflite {
class MicroOpResolver {};
template <unsigned int count>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddFullyConnected();
};
}  // namespace tflite
