// refused: brkpt
extern "C" __global__ void breaks() { __brkpt(); }
