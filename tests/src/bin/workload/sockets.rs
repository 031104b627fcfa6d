//! Messages over sockets of this machine, and options of sockets.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

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

/// The messages of a virtual machine's sockets to itself, by modules of the kernel.
pub(crate) fn vsock(n: u64, bytes: usize, port: u32) -> io::Result<()> {
    let mut buffer = vec![b'x'; bytes];
    let listener = vsock_socket()?;
    // SAFETY: a socket and an address with its size; or a number.
    let listens = with_vsock_address(libc::VMADDR_CID_ANY, port, |address, size| unsafe {
        libc::bind(listener.as_raw_fd(), address, size) == 0
            && libc::listen(listener.as_raw_fd(), 1) == 0
    });
    let mut client = vsock_socket()?;
    // SAFETY: a socket and an address with its size.
    let connects = with_vsock_address(libc::VMADDR_CID_LOCAL, port, |address, size| unsafe {
        libc::connect(client.as_raw_fd(), address, size) == 0
    });
    if !listens || !connects {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: no place for the other's address is allowed.
    let accepted = unsafe {
        libc::accept(
            listener.as_raw_fd(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
    let mut server = file_of(accepted)?;
    for _ in 0..n {
        client.write_all(&buffer)?;
        server.read_exact(&mut buffer)?;
    }
    Ok(())
}

fn vsock_socket() -> io::Result<File> {
    // SAFETY: three numbers.
    file_of(unsafe { libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })
}

/// What a system call gave.
fn file_of(descriptor: i32) -> io::Result<File> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and nobody else's.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

fn with_vsock_address(
    machine: u32,
    port: u32,
    call: impl FnOnce(*const libc::sockaddr, libc::socklen_t) -> bool,
) -> bool {
    // SAFETY: the structure consists of numbers.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    address.svm_cid = machine;
    address.svm_port = port;
    let size = size_of::<libc::sockaddr_vm>() as libc::socklen_t;
    call((&raw const address).cast(), size)
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
