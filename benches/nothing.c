// SPDX-License-Identifier: MIT OR Apache-2.0
// The least that can be executed: it exits. Built without a C library, so that an
// execution of it is little more than the kernel's fork, exec and exit.

__attribute__((noreturn)) void _start(void)
{
	for (;;) {
#if defined(__x86_64__)
		__asm__ volatile("syscall" : : "a"(231), "D"(0) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
		register long number __asm__("x8") = 94;
		register long status __asm__("x0") = 0;

		__asm__ volatile("svc 0" : : "r"(number), "r"(status) : "memory");
#else
#error "exit_group of this architecture is not known"
#endif
	}
}
