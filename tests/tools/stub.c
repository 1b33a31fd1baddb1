// SPDX-License-Identifier: MIT
//
// The smallest guest that the launcher can be tested with: 32-bit, entered by PVH, it prints on
// COM1 and does what the first letter of its command line says. It ends by a triple fault, which
// QEMU sees as a reset.

typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;

#define COM1           0x3f8
#define PC_PM1_STATUS  0x600
#define PC_PM1_CONTROL 0x604
#define POWER_BUTTON   (1 << 8)
#define PVPANIC        0x505

asm(".section .note.pvh, \"a\", @note\n"
    ".long 4, 4, 18\n" // name, 32-bit entry point, XEN_ELFNOTE_PHYS32_ENTRY
    ".asciz \"Xen\"\n"
    ".long _start\n"
    ".text\n"
    ".global _start\n"
    "_start: mov $stack_end, %esp\n"
    "push %ebx\n"
    "call stub_main\n"
    ".bss\n"
    ".skip 4096\n"
    "stack_end:\n"
    ".text\n");

static void out8(uint16_t port, uint8_t value)
{
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void out16(uint16_t port, uint16_t value)
{
    asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static uint16_t in16(uint16_t port)
{
    uint16_t value;
    asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static uint8_t in8(uint16_t port)
{
    uint8_t value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

// Returns when all of it has left the UART: what it still held at the guest's end would be lost.
static void print(const char *text)
{
    while (*text)
        out8(COM1, (uint8_t)*text++);
    while (!(in8(COM1 + 5) & 0x40))
        ;
}

static void wait_for_power_button(void)
{
    out16(PC_PM1_STATUS + 2, POWER_BUTTON);
    print("waiting for the power button\n");
    while (!(in16(PC_PM1_STATUS) & POWER_BUTTON))
        ;
    print("aerostat: exit 5\n");
    out16(PC_PM1_CONTROL, 1 << 13);
}

static void use_sse(void)
{
    asm volatile("mov %%cr4, %%eax; or $0x600, %%eax; mov %%eax, %%cr4; addsd %%xmm0, %%xmm1"
                 :
                 :
                 : "eax");
}

static void triple_fault(void)
{
    static const struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) no_idt;

    asm volatile("lidt %0; ud2" : : "m"(no_idt));
}

void stub_main(const uint32_t *start_info)
{
    const char *words = (const char *)start_info[6]; // hvm_start_info.cmdline_paddr, low half

    print("stub: ");
    print(words ? words : "");
    print("\r\n");
    switch (words ? words[0] : 0) {
    case 'b': // ends when the power button is pressed
        wait_for_power_button();
        break;
    case 'd': // dies without a record
        break;
    case 'e': // exit status 7
        print("aerostat: exit 7\n");
        break;
    case 'f': // a record that is not the last word
        print("aerostat: exit 3\nafter the record\n");
        break;
    case 'h': // hangs
        print("hanging\n");
        for (;;)
            asm volatile("hlt");
    case 'p': // panics
        print("panicking\n");
        out8(PVPANIC, 1);
        break;
    case 's': // arithmetic that a KVM without hardware cannot emulate
        use_sse();
        print("aerostat: exit 0\n");
        break;
    default:
        print("aerostat: exit 0\n");
    }
    triple_fault();
}
