//! Both models, from their ONNX files to results that are compared with ONNX Runtime's: as plans,
//! interpreted on the CPU, and as launches on the emulated device.

// Marked as tests, so that helpers may unwrap as tests may.
#[cfg(test)]
mod emulated;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod imported;
#[cfg(test)]
mod interpreter;
#[cfg(test)]
mod lowering;
#[cfg(test)]
mod machine;
