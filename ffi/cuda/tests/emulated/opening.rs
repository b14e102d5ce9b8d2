//! What is found, what is refused, and that nothing panics on the way.

use crate::machine::{Library, Machine, open};
use gpumux_cuda::{
    CudaError, Device, DeviceOptions, Driver, MarkPath, OpenError, ProductPath, Wake,
};

fn load_error() -> OpenError {
    match Driver::load() {
        Ok(_) => panic!("a driver was loaded"),
        Err(error) => error,
    }
}

fn open_error(ordinal: u32, options: DeviceOptions) -> OpenError {
    let driver = Driver::load().expect("the emulated driver loads");
    match Device::open(&driver, ordinal, options) {
        Ok(_) => panic!("a device was opened"),
        Err(error) => error,
    }
}

#[test]
fn a_machine_without_a_driver_says_what_was_tried() {
    Machine { driver: Library::Broken, blas: Library::Broken, ..Machine::WHOLE }.run(|| {
        let OpenError::NoDriver { tried } = load_error() else { panic!("another error") };
        assert!(tried.contains(&"libcuda.so.1".to_owned()), "{tried:?}");
    });
}

#[test]
fn a_library_that_is_no_driver_is_refused_by_the_symbol_that_it_lacks() {
    Machine { driver: Library::Foreign, blas: Library::Broken, ..Machine::WHOLE }.run(|| {
        let OpenError::MissingSymbol { symbol, .. } = load_error() else { panic!("another error") };
        assert_eq!(symbol, "cuDriverGetVersion");
    });
}

#[test]
fn a_driver_that_is_too_old_is_named_with_what_is_needed() {
    Machine { claim: "driver=11.8", ..Machine::WHOLE }.run(|| {
        let error = load_error();
        assert!(
            matches!(error, OpenError::DriverTooOld { found: 11_080, needed: 12_000, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("CUDA 11.8, at least 12.0"), "{error}");
    });
}

#[test]
fn a_driver_without_a_device_says_so() {
    Machine { claim: "devices=0", ..Machine::WHOLE }.run(|| {
        assert!(matches!(load_error(), OpenError::NoDevice { .. }));
    });
}

#[test]
fn the_oldest_supported_driver_opens() {
    Machine { claim: "driver=12.0,cc=7.5", ..Machine::WHOLE }.run(|| {
        assert_eq!(open(DeviceOptions::default()).info().compute_capability, (7, 5));
    });
}

#[test]
fn an_emulated_driver_is_known_by_its_file() {
    Machine::WHOLE.run(|| {
        let driver = Driver::load().expect("the emulated driver loads");
        assert!(driver.is_emulated(), "{}", driver.library_path().display());
        assert_eq!(driver.version(), 13_030);
        assert_eq!(driver.device_count().expect("a count"), 1);
    });
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    Machine::WHOLE.run(|| {
        let error = open_error(1, DeviceOptions::default());
        assert!(matches!(error, OpenError::NoSuchDevice { ordinal: 1, count: 1 }), "{error}");
    });
}

#[test]
fn a_device_that_is_too_old_is_refused() {
    Machine { claim: "cc=7.0", ..Machine::WHOLE }.run(|| {
        let error = open_error(0, DeviceOptions::default());
        assert!(matches!(error, OpenError::DeviceTooOld { found: (7, 0) }), "{error}");
    });
}

#[test]
fn a_device_says_what_it_is() {
    Machine { claim: "sms=12,memory=64MiB,driver=12.8,cc=8.6", ..Machine::WHOLE }.run(|| {
        let device = open(DeviceOptions::default());
        let info = device.info();
        assert_eq!((info.sm_count, info.compute_capability), (12, (8, 6)));
        assert_eq!((info.memory_bytes, info.driver_version), (64 << 20, 12_080));
        assert!(info.memory_free_bytes <= info.memory_bytes);
        assert!(info.is_emulated && !info.name.is_empty());
        assert_eq!(info.marks, MarkPath::StreamWrite);
        assert_eq!(info.products, ProductPath::CublasLt);
        assert!(device.product_library().is_some());
    });
}

#[test]
fn without_cublaslt_our_own_kernel_multiplies() {
    Machine { blas: Library::Broken, ..Machine::WHOLE }.run(|| {
        let device = open(DeviceOptions::default());
        assert_eq!(device.info().products, ProductPath::Kernel);
        assert_eq!(device.product_library(), None);
    });
}

#[test]
fn cublaslt_that_was_asked_for_and_is_not_there_is_an_error() {
    Machine { blas: Library::Broken, ..Machine::WHOLE }.run(|| {
        let products = Some(ProductPath::CublasLt);
        let error = open_error(0, DeviceOptions { products, ..DeviceOptions::default() });
        assert!(matches!(error, OpenError::NoBlas { .. }), "{error}");
    });
}

#[test]
fn memory_that_the_device_has_not_is_refused_and_harms_nothing() {
    Machine::WHOLE.run(|| {
        let device = open(DeviceOptions::default());
        let Err(error) = device.reserve(1 << 40) else { panic!("1 TiB was reserved") };
        assert!(matches!(error, CudaError::OutOfMemory(_)), "{error}");
        let memory = device.reserve(1 << 20).expect("1 MiB of 256");
        let block = memory.alloc(1000).expect("a kilobyte of 1 MiB");
        assert_eq!((block.bytes(), block.address().get() % 256), (1024, 0));
        let Err(error) = memory.alloc(1 << 20) else { panic!("more than is free was given") };
        assert_eq!((error.asked, error.largest), (1 << 20, (1 << 20) - 1024));
        drop(block);
        assert_eq!(memory.free_bytes(), 1 << 20);
    });
}

#[test]
fn what_a_device_made_may_outlive_it() {
    Machine::WHOLE.run(|| {
        let device = open(DeviceOptions::default());
        let memory = device.reserve(1 << 20).expect("memory");
        let block = memory.alloc(256).expect("a block");
        let mut lane = device.lane(&Wake::new().expect("a descriptor")).expect("a lane");
        drop((device, memory));
        lane.clear(block.address(), 256).expect("the context is still there");
        lane.drain().expect("it drains");
    });
}
