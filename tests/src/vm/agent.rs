//! The guest's side. Every harness that boots VMs is also its own agent: it puts itself into
//! the initramfs and, started there with [`AGENT_ARG`], carries out jobs until told to stop.

use std::fs::OpenOptions;
use std::io;

use super::facts;
use super::protocol::{FromGuest, FromHost, receive, send};
use crate::job;

/// The argument by which a harness becomes the agent.
pub const AGENT_ARG: &str = "--be-the-vm-agent";

/// The serial port that leads to the host. The other one is the kernel's console.
const LINE: &str = "/dev/ttyS1";

/// To be called first in `main`: does not return in the guest.
pub fn run_if_asked() {
    if std::env::args().nth(1).as_deref() == Some(AGENT_ARG) {
        // The script that started us switches the machine off, with this shown on the console.
        if let Err(error) = serve() {
            eprintln!("agent: {error}");
        }
        std::process::exit(0);
    }
}

fn serve() -> io::Result<()> {
    let mut to_host = OpenOptions::new().write(true).open(LINE)?;
    let mut from_host = OpenOptions::new().read(true).open(LINE)?;
    send(&mut to_host, &FromGuest::Hello(facts::here()))?;
    loop {
        let job = match receive(&mut from_host)? {
            FromHost::Run(job) => job,
            FromHost::PowerOff => return Ok(()),
        };
        let mut line = Ok(());
        let mut outcome = job::run(&job, &mut |stream, bytes| {
            if job.live {
                let sent = send(&mut to_host, &FromGuest::Output(stream, bytes.to_vec()));
                line = std::mem::replace(&mut line, Ok(())).and(sent);
            }
        });
        line?;
        if job.live {
            outcome.stdout.clear();
            outcome.stderr.clear();
        }
        send(&mut to_host, &FromGuest::Done(outcome))?;
    }
}
