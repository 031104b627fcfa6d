//! The session's executor: runs user-side handlers, decodes what kernel handlers recorded,
//! shows globals.

use rtap_compiler::image::{Meta, SessionState, header};
use rtap_compiler::lir::{Channel, Env, HandlerId, Space};

use super::{Context, Machine, Program, Stop, Store, machine_env};
use crate::bpf::kernel_memory::KernelMemory;
use crate::output::{Event, Events, Sink};
use crate::session::commands::Commands;
use crate::session::{Control, Executor, Failure, Signals, errors};
use crate::values::{BadRecord, Text};

/// Runs a script's user-side handlers on a store.
pub struct UserSide<'a, S: Store> {
    machine: Machine<'a, S>,
    channels: Vec<Channel>,
    control: &'a Control,
    commands: Commands,
    memory: KernelMemory,
}

impl<'a, S: Store> UserSide<'a, S> {
    /// An executor of `program`, which was made of `meta`.
    pub fn new(program: &'a Program<'a>, store: S, control: &'a Control) -> Self {
        UserSide {
            channels: program
                .formats
                .iter()
                .map(|format| format.channel)
                .collect(),
            machine: Machine::new(program, store),
            control,
            commands: Commands::default(),
            memory: KernelMemory::default(),
        }
    }

    /// The machine, to set `host.module_name` and the like.
    pub fn machine(&mut self) -> &mut Machine<'a, S> {
        &mut self.machine
    }

    /// Tells functions of user space what they need to know of the image.
    pub fn describe(&mut self, meta: &Meta) {
        self.machine.store.host.prepare(&meta.module);
        self.machine.store.host.points = meta
            .module
            .handlers
            .values()
            .flat_map(|handler| &handler.points)
            .map(|point| [&point.text, &point.function, &point.module].map(Clone::clone))
            .collect();
    }
}

impl<S: Store> Executor for UserSide<'_, S> {
    fn run(&mut self, handler: HandlerId, point: u32, sink: &mut Sink) -> Result<(), Failure> {
        let output_failed = sink.error().is_some();
        let mut cx = UserContext {
            sink,
            control: self.control,
            commands: Vec::new(),
            memory: &mut self.memory,
            // One that came while nothing was ending is for whatever runs.
            signals: if self.control.is_ending() {
                Signals::count()
            } else {
                0
            },
            output_failed,
        };
        self.machine.store.begin(handler);
        let result = self.machine.run(handler, point, &mut cx);
        self.machine.store.end();
        // Commands start after the handler that asked for them (function::system).
        for command in cx.commands {
            self.commands.run(&command, sink);
        }
        if let Some(error) = self.machine.store.take_failure() {
            sink.warn(&format!("cannot access a global: {error}"));
        }
        match result {
            // An interrupted handler is no error of the script's.
            Ok(()) | Err(Stop::Interrupted) => Ok(()),
            Err(Stop::Error { site, arg, text }) => {
                let sites = self.machine.sites();
                let site = i64::from(site.as_u32());
                let probe = errors::probe(self.machine.program.module, handler, Some(point));
                let report = errors::report(sites, site, arg, &text, probe);
                Err(Failure { report })
            }
        }
    }

    fn decode(&mut self, record: &[u8], out: &mut Vec<u8>) -> Result<Event, BadRecord> {
        let program = self.machine.program;
        let events = Events {
            renderer: program.renderer(),
            channels: &self.channels,
        };
        events.decode(record, out, &mut self.machine.store.host)
    }

    fn warning(&mut self) -> Option<&'static str> {
        self.machine.store.host.warning.take()
    }

    fn show_globals(&mut self, sink: &mut Sink) {
        self.machine.show_globals(sink.buffer());
        sink.written();
    }
}

/// What surrounds a user-side handler: rtap itself.
struct UserContext<'a> {
    sink: &'a mut Sink,
    control: &'a Control,
    commands: Vec<Vec<u8>>,
    memory: &'a mut KernelMemory,
    /// How many asked for the end before the handler began, if it is one that runs at the end.
    signals: u32,
    /// Whether the output was gone when it began.
    output_failed: bool,
}

impl Context for UserContext<'_> {
    fn env(&mut self, env: Env) -> i64 {
        match env {
            Env::TargetPid => self.control.load(header::TARGET_PID) as i64,
            Env::CurrentTask => self.memory.current_task() as i64,
            other => machine_env::number(other),
        }
    }

    fn comm(&mut self) -> Text {
        machine_env::comm()
    }

    fn out(&mut self) -> &mut Vec<u8> {
        self.sink.buffer()
    }

    fn printed(&mut self) {
        self.sink.written();
    }

    fn send(&mut self, channel: Channel, text: &[u8]) {
        match channel {
            Channel::System => self.commands.push(text.to_vec()),
            _ => self.sink.print_to(channel, text),
        }
    }

    fn request_exit(&mut self) {
        self.control.advance(SessionState::Stopping);
    }

    fn interrupted(&mut self) -> bool {
        Signals::count() != self.signals || self.sink.error().is_some() != self.output_failed
    }

    fn read(&mut self, space: Space, address: u64, bytes: &mut [u8]) -> bool {
        match space {
            Space::User => machine_env::read_own_memory(address, bytes),
            Space::Kernel => self.memory.read(address, bytes),
        }
    }
}
