// What the reports' lines of C++ use of tensorflow/lite/schema/schema_generated.h.
#pragma once

namespace tflite {
struct Model;
const Model* GetModel(const void* buffer);
}  // namespace tflite
