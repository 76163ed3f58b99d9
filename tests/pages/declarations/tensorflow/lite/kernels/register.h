// What the reports' lines of C++ use of tensorflow/lite/kernels/register.h.
#pragma once

namespace tflite::ops::builtin {
class BuiltinOpResolver {};
}  // namespace tflite::ops::builtin
