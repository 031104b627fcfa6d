//! Messages over sockets of this machine, and options of sockets.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;

pub(crate) fn tcp(n: u64, bytes: usize, port: u16) -> io::Result<()> {
    let mut buffer = vec![b'x'; bytes];
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut client = TcpStream::connect(("127.0.0.1", port))?;
    let (mut server, _) = listener.accept()?;
    for _ in 0..n {
        client.write_all(&buffer)?;
        server.read_exact(&mut buffer)?;
    }
    Ok(())
}

pub(crate) fn udp(n: u64, bytes: usize, port: u16) -> io::Result<()> {
    let mut buffer = vec![b'x'; bytes];
    let receiver = UdpSocket::bind(("127.0.0.1", port))?;
    let sender = UdpSocket::bind(("127.0.0.1", port + 1))?;
    sender.connect(("127.0.0.1", port))?;
    for _ in 0..n {
        sender.send(&buffer)?;
        receiver.recv(&mut buffer)?;
    }
    Ok(())
}

/// `n` times sets and gets TCP_KEEPIDLE.
pub(crate) fn option(n: u64, seconds: i32) -> io::Result<()> {
    let socket = TcpListener::bind(("127.0.0.1", 0))?;
    let mut value = seconds;
    let mut length = size_of::<i32>() as libc::socklen_t;
    let (level, name) = (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE);
    for _ in 0..n {
        let at = (&raw mut value).cast();
        // SAFETY: a number and its size.
        let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, at, length) };
        // SAFETY: a place for a number, and one for its size.
        let got = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, at, &raw mut length) };
        if set != 0 || got != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
