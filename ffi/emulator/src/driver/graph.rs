//! Graphs: those that captures made, and launches of them.
#![expect(non_snake_case, reason = "the fields of the ABI")]

use super::abi::{In, Out, edge};
use crate::capture::CAPTURES;
use crate::code::{Code, Outcome};
use crate::context;
use crate::graph::{EXECUTABLES, Executable, GRAPHS, Graph, Task};
use crate::handle::Handle;
use crate::stream::Stream;
use std::ffi::{c_uint, c_ulonglong};

/// `CUDA_GRAPH_INSTANTIATE_FLAG_*`: frees what an earlier launch left, uploads at once, is launched
/// by the device, keeps priorities.
const AUTO_FREE: c_ulonglong = 1;
const UPLOAD: c_ulonglong = 2;
const DEVICE_LAUNCH: c_ulonglong = 4;
const NODE_PRIORITY: c_ulonglong = 8;

/// `CUDA_GRAPH_INSTANTIATE_PARAMS`.
#[repr(C)]
#[derive(Clone, Copy)]
struct CUDA_GRAPH_INSTANTIATE_PARAMS {
    flags: u64,
    hUploadStream: Handle,
    hErrNode_out: Handle,
    result_out: c_uint,
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphCreate(out: Out<Handle>, flags: c_uint) -> Code {
    edge(|| {
        if flags != 0 || out.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        out.put(GRAPHS.add(Graph::new(&context::current()?)))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphDestroy(graph: Handle) -> Code {
    edge(|| GRAPHS.remove(graph).map(|_| ()).map_err(|_| Code::INVALID_VALUE))
}

/// How many nodes there are. Nodes have no handles here: they are counted and not given out.
#[unsafe(no_mangle)]
extern "C" fn cuGraphGetNodes(graph: Handle, nodes: Out<Handle>, count: Out<usize>) -> Code {
    edge(|| {
        let graph = Graph::of(graph)?;
        if !nodes.is_null() {
            return Err(Code::NOT_SUPPORTED);
        }
        count.put(graph.count())
    })
}

fn instantiate(out: Out<Handle>, graph: Handle, flags: c_ulonglong) -> Outcome {
    let graph = Graph::of(graph)?;
    graph.context().check()?;
    let known = AUTO_FREE | UPLOAD | DEVICE_LAUNCH | NODE_PRIORITY;
    if flags & !known != 0 || out.is_null() {
        return Err(Code::INVALID_VALUE);
    }
    if flags & DEVICE_LAUNCH != 0 {
        // The manual: not together with freeing.
        let both = flags & AUTO_FREE != 0;
        return Err(if both { Code::INVALID_VALUE } else { Code::NOT_SUPPORTED });
    }
    out.put(EXECUTABLES.add(Executable::new(&graph)))
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphInstantiateWithFlags(
    out: Out<Handle>,
    graph: Handle,
    flags: c_ulonglong,
) -> Code {
    edge(|| instantiate(out, graph, flags))
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphInstantiateWithParams(
    out: Out<Handle>,
    graph: Handle,
    params: *mut CUDA_GRAPH_INSTANTIATE_PARAMS,
) -> Code {
    edge(|| {
        let asked = In::from(params.cast_const()).get()?;
        instantiate(out, graph, asked.flags)?;
        // CUDA_GRAPH_INSTANTIATE_SUCCESS, and no node that is to blame.
        Out::from(params).put(CUDA_GRAPH_INSTANTIATE_PARAMS {
            hErrNode_out: Handle::NULL,
            result_out: 0,
            ..asked
        })
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuGraphExecDestroy(executable: Handle) -> Code {
    edge(|| EXECUTABLES.remove(executable).map(|_| ()).map_err(|_| Code::INVALID_VALUE))
}

/// A launch in a captured stream becomes part of what is captured.
#[unsafe(no_mangle)]
extern "C" fn cuGraphLaunch(executable: Handle, stream: Handle) -> Code {
    edge(|| {
        let (executable, stream) = (Executable::of(executable)?, Stream::of(stream)?);
        let task = Task::Graph(executable.graph().clone());
        match CAPTURES.take(&stream, task)? {
            None => Ok(()),
            Some(_) => executable.launch(&stream),
        }
    })
}

/// There is nothing to upload.
#[unsafe(no_mangle)]
extern "C" fn cuGraphUpload(executable: Handle, stream: Handle) -> Code {
    edge(|| {
        Executable::of(executable)?;
        Stream::of(stream).map(|_| ())
    })
}
