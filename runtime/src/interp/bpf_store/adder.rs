//! Atomic additions to elements of a hash map, from user space.
//!
//! The system calls can read and write an element, not add to it: what a kernel handler adds
//! in between would be lost. So a program of a dozen instructions does it, run on
//! demand by `BPF_PROG_TEST_RUN` (Linux 5.10): its context holds the number and the key,
//! and it leaves the old value in a mapped word.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::bpf::map::MMAPABLE;
use crate::bpf::{Insn, Map, MapSpec, MapType, Mapping, ProgSpec, ProgType, Program};

/// Words of a raw tracepoint's context.
const CONTEXT_WORDS: usize = 12;

/// Adds to elements of one map.
pub(super) struct Adder {
    program: Program,
    /// The old value.
    old: Mapping,
    /// Keeps `old` alive in the kernel.
    _map: Map,
}

impl Adder {
    /// The longest key that can be handed over, bytes.
    pub const MAX_KEY_BYTES: usize = (CONTEXT_WORDS - 1) * 8;

    /// Loads the program for a map whose values are integers.
    pub fn new(map: &Map) -> io::Result<Adder> {
        let spec = MapSpec {
            name: "rtap_old",
            kind: MapType::Array,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            flags: MMAPABLE,
            btf: None,
            inner: None,
        };
        let result = Map::create(&spec, 1)?;
        let old = result.mmap()?;
        let load = |fetch| {
            let insns = insns(map.as_fd(), result.as_fd(), map.key_size() / 8, fetch);
            ProgSpec::new("rtap_add", ProgType::RawTracepoint, &insns).load_quietly()
        };
        // Before Linux 5.12 additions do not give the old value.
        let program = load(true).or_else(|_| load(false))?;
        Ok(Adder {
            program,
            old,
            _map: result,
        })
    }

    /// Adds to the element of `key`: the value before, or `None` if there is no such element.
    pub fn add(&self, key: &[u8], n: i64) -> io::Result<Option<i64>> {
        let mut context = [0; CONTEXT_WORDS];
        context[0] = n as u64;
        for (word, bytes) in context[1..].iter_mut().zip(key.chunks_exact(8)) {
            let mut number = [0; 8];
            number.copy_from_slice(bytes);
            *word = u64::from_ne_bytes(number);
        }
        match self.program.test_run(&context)? {
            0 => Ok(None),
            _ => Ok(Some(self.old.load(0) as i64)),
        }
    }
}

/// One instruction.
fn insn(opcode: u8, dst: u8, src: u8, offset: i16, imm: i32) -> Insn {
    u64::from(opcode)
        | u64::from(dst) << 8
        | u64::from(src) << 12
        | u64::from(offset as u16) << 16
        | u64::from(imm as u32) << 32
}

/// The program; `words` is the key's length.
fn insns(map: BorrowedFd<'_>, result: BorrowedFd<'_>, words: usize, fetch: bool) -> Vec<Insn> {
    const LOAD: u8 = 0x79; // r = *(u64 *)(r + off)
    const STORE: u8 = 0x7b; // *(u64 *)(r + off) = r
    const MOVE: u8 = 0xbf;
    const MOVE_IMM: u8 = 0xb7;
    const ADD_IMM: u8 = 0x07;
    const LOAD_ADDRESS: u8 = 0x18; // two slots
    const ATOMIC: u8 = 0xdb;
    const JUMP_IF_EQUAL: u8 = 0x15;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    const MAP_FD: u8 = 1; // src of LOAD_ADDRESS
    const MAP_VALUE: u8 = 2;
    const LOOKUP: i32 = 1; // bpf_map_lookup_elem
    const FETCH: i32 = 1;

    let mut code = vec![insn(MOVE, 6, 1, 0, 0)];
    let key_at = -8 * words as i16;
    for word in 0..words as i16 {
        code.push(insn(LOAD, 2, 6, 8 * (word + 1), 0));
        code.push(insn(STORE, 10, 2, key_at + 8 * word, 0));
    }
    code.extend([
        insn(MOVE, 2, 10, 0, 0),
        insn(ADD_IMM, 2, 0, 0, i32::from(key_at)),
        insn(LOAD_ADDRESS, 1, MAP_FD, 0, map.as_raw_fd()),
        insn(0, 0, 0, 0, 0),
        insn(CALL, 0, 0, 0, LOOKUP),
    ]);
    let mut add = vec![insn(LOAD, 1, 6, 0, 0)];
    if fetch {
        add.push(insn(ATOMIC, 0, 1, 0, FETCH)); // r1 = the old value
        add.push(insn(MOVE, 3, 1, 0, 0));
    } else {
        add.push(insn(LOAD, 3, 0, 0, 0));
        add.push(insn(ATOMIC, 0, 1, 0, 0));
    }
    add.extend([
        insn(LOAD_ADDRESS, 2, MAP_VALUE, 0, result.as_raw_fd()),
        insn(0, 0, 0, 0, 0),
        insn(STORE, 2, 3, 0, 0),
        insn(MOVE_IMM, 0, 0, 0, 1),
        insn(EXIT, 0, 0, 0, 0),
    ]);
    code.push(insn(JUMP_IF_EQUAL, 0, 0, add.len() as i16, 0));
    code.extend(add);
    code.extend([insn(MOVE_IMM, 0, 0, 0, 0), insn(EXIT, 0, 0, 0, 0)]);
    code
}
