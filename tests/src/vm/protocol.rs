//! What host and guest say to each other over the VM's second serial port: frames of a
//! length (4 bytes, little-endian) and a message in postcard form.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::job::{Job, Outcome, Stream};

/// No message is longer; a longer one means that the line carries something else.
const MAX_FRAME_BYTES: u32 = 16 << 20;

/// Sent by the guest's agent.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromGuest {
    /// The guest has booted.
    Hello(crate::vm::facts::Facts),
    /// Output of the running job, if that is [`Job::live`].
    Output(Stream, Vec<u8>),
    /// The job has ended. `stdout` and `stderr` have what was not sent before.
    Done(Outcome),
}

/// Sent by the host.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromHost {
    /// Run this.
    Run(Job),
    /// Stop the VM.
    PowerOff,
}

/// Writes one message.
pub fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let mut frame = (body.len() as u32).to_le_bytes().to_vec();
    frame.extend(body);
    to.write_all(&frame)?;
    to.flush()
}

/// Reads one message.
pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::other(format!(
            "a frame of {length} bytes: not from the agent"
        )));
    }
    let mut body = vec![0; length as usize];
    from.read_exact(&mut body)?;
    postcard::from_bytes(&body).map_err(io::Error::other)
}
