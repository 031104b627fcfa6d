//! What the tests are built of: golden files ([`golden`]), kernels in virtual machines ([`vm`]), jobs that
//! run on this machine and in a VM alike ([`job`]), Debian's packages ([`debian`]), the kernel
//! tests ([`kernel`]), temporary directories ([`scratch`]), random scripts ([`generate`]) that both executors run ([`agree`]), what is fuzzed ([`fuzz`]) and the benches ([`mod@bench`]).

pub mod agree;
pub mod bench;
pub mod debian;
pub mod fixture;
pub mod fuzz;
pub mod generate;
pub mod golden;
pub mod job;
pub mod kernel;
pub mod kill;
pub mod page;
pub mod paths;
pub mod scratch;
pub mod vm;
