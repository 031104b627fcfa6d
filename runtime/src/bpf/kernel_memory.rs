//! Memory of the kernel for rtap itself, and where in it rtap is: read by a small program that is run by hand (raw tracepoint
//! programs can be, Linux 5.10). Bad addresses are refused, as in handlers.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::{Insn, Map, MapSpec, MapType, ProgSpec, ProgType, Program};

/// Most bytes read at once.
const MOST_BYTES: usize = 256;

/// Reads memory of the kernel; the program is loaded when it is asked first.
#[derive(Debug, Default)]
pub struct KernelMemory {
    reader: Option<io::Result<Reader>>,
}

#[derive(Debug)]
struct Reader {
    program: Program,
    /// Where the program puts what it reads.
    buffer: Map,
    bytes: Vec<u8>,
}

impl KernelMemory {
    /// Reads all of `bytes` or nothing; false for a bad address, or without the right to read any.
    pub fn read(&mut self, address: u64, bytes: &mut [u8]) -> bool {
        let Some(reader) = self.reader() else {
            return false;
        };
        let mut at = address;
        bytes.chunks_mut(MOST_BYTES).all(|part| {
            let read = reader.read(at, part);
            at = at.wrapping_add(part.len() as u64);
            read
        })
    }

    /// Where the `task_struct` of the calling thread is; 0 without the right to know.
    pub fn current_task(&mut self) -> u64 {
        self.reader().and_then(Reader::current_task).unwrap_or(0)
    }

    fn reader(&mut self) -> Option<&mut Reader> {
        let reader = self.reader.get_or_insert_with(Reader::new);
        reader.as_mut().ok()
    }
}

impl Reader {
    /// Where the `task_struct` of the calling thread is.
    fn current_task(&mut self) -> Option<u64> {
        let mut address = [0; 8];
        // No bytes at all: see `insns`.
        self.run(&[0, 0], &mut address)
            .then(|| u64::from_ne_bytes(address))
    }

    fn new() -> io::Result<Self> {
        let buffer = Map::create(
            &MapSpec {
                name: "rtap_peek",
                kind: MapType::Array,
                key_size: 4,
                value_size: MOST_BYTES as u32,
                max_entries: 1,
                flags: 0,
                btf: None,
                inner: None,
            },
            1,
        )?;
        let insns = insns(buffer.as_fd().as_raw_fd());
        let spec = ProgSpec::new("rtap_peek", ProgType::RawTracepoint, &insns);
        let program = spec.load_quietly()?;
        Ok(Self {
            program,
            buffer,
            bytes: Vec::new(),
        })
    }

    fn read(&mut self, address: u64, bytes: &mut [u8]) -> bool {
        self.run(&[address, bytes.len() as u64], bytes)
    }

    /// Runs the program, and fetches what it left in the buffer.
    fn run(&mut self, args: &[u64; 2], bytes: &mut [u8]) -> bool {
        let ran = self.program.test_run(args);
        let got = matches!(ran, Ok(0))
            && matches!(
                self.buffer.lookup(&0_u32.to_ne_bytes(), &mut self.bytes),
                Ok(true)
            );
        if got {
            bytes.copy_from_slice(&self.bytes[..bytes.len()]);
        }
        got
    }
}

/// The program: its arguments are an address and a number of bytes, its result is 0 or an error. For 0 bytes it
/// leaves the address of the current task.
fn insns(map: i32) -> [Insn; 23] {
    const LOAD_LONG: u8 = 0x79;
    const STORE_LONG: u8 = 0x7b;
    const STORE_WORD: u8 = 0x62;
    const MOVE: u8 = 0xbf;
    const MOVE_CONSTANT: u8 = 0xb7;
    const ADD_CONSTANT: u8 = 0x07;
    const LOAD_MAP: u8 = 0x18;
    const OF_A_MAP: u8 = 1;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    const JUMP_IF_ABOVE: u8 = 0x25;
    const JUMP_IF_EQUAL: u8 = 0x15;
    const LOOKUP: i32 = 1;
    const GET_CURRENT_TASK: i32 = 35;
    const PROBE_READ_KERNEL: i32 = 113;
    let insn = |code: u8, dst: u8, src: u8, offset: i16, number: i32| {
        let mut bytes = [code, dst | src << 4, 0, 0, 0, 0, 0, 0];
        bytes[2..4].copy_from_slice(&offset.to_le_bytes());
        bytes[4..].copy_from_slice(&number.to_le_bytes());
        u64::from_le_bytes(bytes)
    };
    [
        insn(LOAD_LONG, 6, 1, 0, 0),
        insn(LOAD_LONG, 7, 1, 8, 0),
        insn(JUMP_IF_ABOVE, 7, 0, 18, MOST_BYTES as i32),
        insn(STORE_WORD, 10, 0, -4, 0),
        insn(LOAD_MAP, 1, OF_A_MAP, 0, map),
        insn(0, 0, 0, 0, 0),
        insn(MOVE, 2, 10, 0, 0),
        insn(ADD_CONSTANT, 2, 0, 0, -4),
        insn(CALL, 0, 0, 0, LOOKUP),
        insn(JUMP_IF_EQUAL, 0, 0, 11, 0),
        insn(MOVE, 8, 0, 0, 0),
        insn(JUMP_IF_EQUAL, 7, 0, 5, 0),
        insn(MOVE, 1, 8, 0, 0),
        insn(MOVE, 2, 7, 0, 0),
        insn(MOVE, 3, 6, 0, 0),
        insn(CALL, 0, 0, 0, PROBE_READ_KERNEL),
        insn(EXIT, 0, 0, 0, 0),
        insn(CALL, 0, 0, 0, GET_CURRENT_TASK),
        insn(STORE_LONG, 8, 0, 0, 0),
        insn(MOVE_CONSTANT, 0, 0, 0, 0),
        insn(EXIT, 0, 0, 0, 0),
        insn(MOVE_CONSTANT, 0, 0, 0, -1),
        insn(EXIT, 0, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where eBPF is allowed: the reader tells good addresses from bad ones.
    #[test]
    fn bad_addresses_are_refused() {
        let mut memory = KernelMemory::default();
        assert!(!memory.read(0x1000, &mut [0; 8]));
        assert!(!memory.read(u64::MAX - 3, &mut [0; 300]));
        let task = memory.current_task();
        assert_eq!(memory.read(task, &mut [0; 300]), task != 0);
    }
}
