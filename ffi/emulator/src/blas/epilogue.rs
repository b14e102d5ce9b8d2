//! What happens to an element of a product on its way to memory.

use super::status::Status;

/// An epilogue: an optional bias for each row of D, then an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epilogue {
    /// Whether a bias is added.
    pub(crate) has_bias: bool,
    activation: Activation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activation {
    None,
    Relu,
    Gelu,
}

impl Epilogue {
    /// From its number in `cublasLtEpilogue_t`; those for training are not offered.
    pub(crate) fn from_number(number: u32) -> Result<Self, Status> {
        let (has_bias, activation) = match number {
            1 => (false, Activation::None),
            2 => (false, Activation::Relu),
            4 => (true, Activation::None),
            6 => (true, Activation::Relu),
            32 => (false, Activation::Gelu),
            36 => (true, Activation::Gelu),
            _ => return Err(Status::NOT_SUPPORTED),
        };
        Ok(Self { has_bias, activation })
    }

    /// The activation's value.
    pub(crate) fn activate(self, x: f32) -> f32 {
        match self.activation {
            Activation::None => x,
            // Written so that NaN stays NaN, as it does on a device.
            Activation::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Activation::Gelu => gelu(x),
        }
    }
}

/// The tanh form of GELU, which is the one that the library documents.
fn gelu(x: f32) -> f32 {
    const SCALE: f32 = 0.797_884_6; // sqrt(2/pi)
    0.5 * x * (1.0 + (SCALE * (x + 0.044_715 * x * x * x)).tanh())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_is_the_tanh_form() {
        let epilogue = Epilogue::from_number(32).unwrap();
        // From the formula in double precision.
        for (x, expected) in [(-3.0_f32, -0.003_637_392), (0.0, 0.0), (1.0, 0.841_192)] {
            let got = epilogue.activate(x);
            assert!((got - expected).abs() < 1e-6, "gelu({x}) = {got}");
        }
    }

    #[test]
    fn relu_keeps_nan() {
        assert!(Epilogue::from_number(2).unwrap().activate(f32::NAN).is_nan());
    }

    #[test]
    fn epilogues_for_training_are_refused() {
        for number in [0, 3, 130, 160, 192, 256] {
            assert_eq!(Epilogue::from_number(number).err(), Some(Status::NOT_SUPPORTED));
        }
    }
}
