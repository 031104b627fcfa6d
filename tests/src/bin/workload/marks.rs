//! SDT marks whose arguments are known, written by an assembler macro of our own.
//!
//! A mark is a `nop` and a note that says where it is and what holds its arguments; nothing is
//! stored or loaded for it. See `compiler/src/target/sdt.rs` for the form of the notes.

use std::arch::global_asm;

global_asm!(
    r#"
    // mark PROVIDER, NAME, SEMAPHORE, "ARGUMENTS"
    .macro rtap_mark provider, name, semaphore, arguments
 .Lmark_\@:
        nop
        .pushsection .note.stapsdt, "", @note
        .balign 4
        .4byte .Lowner_end_\@ - .Lowner_\@, .Ldesc_end_\@ - .Ldesc_\@, 3
 .Lowner_\@:
        .asciz "stapsdt"
 .Lowner_end_\@:
        .balign 4
 .Ldesc_\@:
        .8byte .Lmark_\@, rtap_stapsdt_base, \semaphore
        .asciz "\provider"
        .asciz "\name"
        .asciz "\arguments"
 .Ldesc_end_\@:
        .balign 4
        .popsection
    .endm

    .pushsection .stapsdt.base, "aGR", @progbits, .stapsdt.base, comdat
    .weak rtap_stapsdt_base
    .hidden rtap_stapsdt_base
rtap_stapsdt_base:
    .space 1
    .popsection

    // In a page of its own: where two segments share a page of the file, the kernel (7.2 too) may raise the
    // semaphore in the first one's copy.
    .pushsection .probes, "aw", @progbits
    .balign 4096
    .globl rtap_workload_semaphore
rtap_workload_semaphore:
    .zero 2
    .popsection

    .pushsection .data
    .balign 8
    .globl rtap_marks_number
rtap_marks_number:
    .8byte -6, 7
    .popsection

    // rtap_workload_deep(): three functions with frame pointers; the outermost ends the chain.
    .globl rtap_workload_deep
    .type rtap_workload_deep, @function
rtap_workload_deep:
    push rbp
    xor ebp, ebp
    call rtap_workload_middle
    pop rbp
    ret
    .size rtap_workload_deep, . - rtap_workload_deep
    .type rtap_workload_middle, @function
rtap_workload_middle:
    push rbp
    mov rbp, rsp
    call rtap_workload_inner
    pop rbp
    ret
    .size rtap_workload_middle, . - rtap_workload_middle
    .type rtap_workload_inner, @function
rtap_workload_inner:
    push rbp
    mov rbp, rsp
    rtap_mark rtap, deep, 0, ""
    pop rbp
    ret
    .size rtap_workload_inner, . - rtap_workload_inner

    // rtap_workload_marks(i): every operand form, with values that the assembler text says.
    .globl rtap_workload_marks
    .type rtap_workload_marks, @function
rtap_workload_marks:
    push rbx
    push rbp
    mov rbp, rsp
    sub rsp, 32
    mov qword ptr [rbp - 8], -9
    mov dword ptr [rbp - 16], 0xfffffff6
    mov word ptr [rbp - 20], 0xff80
    mov rax, 0x11223344fffffffb
    mov rbx, 0x8182
    mov rcx, 2
    rtap_mark rtap, registers, 0, "8@%rdi -4@%eax 4@%eax 1@%bh -1@%bl -2@%bx 8@%rax"
    lea rdx, [rbp - 24]
    // Named here, or the linker would leave it out.
    lea rsi, [rip + rtap_marks_number]
    rtap_mark rtap, memory, 0, "-8@-8(%rbp) -4@-16(%rbp) 4@-16(%rbp) -2@(%rdx,%rcx,2) 2@4(%rdx) -8@8(%rdx,%rcx,4)"
    rtap_mark rtap, constants, 0, "-4@$-17 4@$-1 8@$4096 -8@rtap_marks_number(%rip) 8@rtap_marks_number+8(%rip) 8f@%xmm0 -1@$5"
    rtap_mark other, registers, 0, "-4@%edi"
    cmp word ptr [rip + rtap_workload_semaphore], 0
    je 2f
    rtap_mark rtap, guarded, rtap_workload_semaphore, "-4@%edi"
2:
    leave
    pop rbx
    ret
    .size rtap_workload_marks, . - rtap_workload_marks
"#
);

unsafe extern "C" {
    fn rtap_workload_marks(i: i64);
    fn rtap_workload_deep();
    safe static mut rtap_workload_semaphore: u16;
}

/// Passes all marks `n` times. Returns how often the guarded one's semaphore was raised.
pub(crate) fn pass(n: u64) -> u64 {
    let mut raised = 0;
    for i in 0..n as i64 {
        // SAFETY: the function above keeps the registers that the calling convention says; the
        // kernel writes the semaphore, so it is read anew each time.
        unsafe {
            raised += u64::from((&raw const rtap_workload_semaphore).read_volatile() != 0);
            rtap_workload_marks(i);
            rtap_workload_deep();
        }
    }
    raised
}
