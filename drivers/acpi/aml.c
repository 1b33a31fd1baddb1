/* SPDX-License-Identifier: MIT */
#include "drivers/acpi/aml.h"

#include "lib/base/string.h"

/* Opcodes, §20.3. */
#define AML_ZERO         0x00
#define AML_ONE          0x01
#define AML_NAME         0x08
#define AML_BYTE         0x0a
#define AML_WORD         0x0b
#define AML_DWORD        0x0c
#define AML_STRING       0x0d
#define AML_QWORD        0x0e
#define AML_BUFFER       0x11
#define AML_PACKAGE      0x12
#define AML_EXTENDED     0x5b
#define AML_EXT_REGION   0x80
#define AML_EXT_DEVICE   0x82
#define AML_LOCAL0       0x60
#define AML_ADD          0x72
#define AML_AND          0x7b
#define AML_NOTIFY       0x86
#define AML_RETURN       0xa4
#define AML_ONES         0xff
#define REGION_IN_MEMORY 0

#define NAME_BYTES 4
#define HID_AT     6 /* in Name(_HID, "...") */
#define HID_MAX    8 /* of the text, §6.1.5 */

/* Resource descriptors, §6.4. */
#define RESOURCE_LARGE       0x80
#define RESOURCE_END         0x78 /* with a checksum byte: 0x79 */
#define RESOURCE_MEMORY32    0x86
#define RESOURCE_INTERRUPT   0x89
#define INTERRUPT_EDGE       (1u << 1)
#define INTERRUPT_ACTIVE_LOW (1u << 2)

/* All reads go through these: beyond the end there are only zeros, which no pattern begins with. */
static uint8_t peek(struct aml aml, size_t offset)
{
    return offset < aml.bytes ? aml.at[offset] : 0;
}

static struct aml skip(struct aml aml, size_t bytes)
{
    bytes = MIN(bytes, aml.bytes);
    return (struct aml){ aml.at + bytes, aml.bytes - bytes };
}

static bool starts_with(struct aml aml, const void *pattern, size_t bytes)
{
    return aml.bytes >= bytes && memcmp(aml.at, pattern, bytes) == 0;
}

/* Patterns have two bytes or more. Most names begin with the same one: the second is looked at
 * here. */
bool aml_find(struct aml *aml, const void *pattern, size_t bytes)
{
    const uint8_t *wanted = pattern, *end, *at;

    if (aml->bytes < bytes)
        return false;
    at = aml->at;
    end = at + aml->bytes - (bytes - 1); /* of the places where it may begin */
    for (; at < end && (at = memchr(at, wanted[0], (size_t)(end - at))) != NULL; at++)
        if (at[1] == wanted[1] && memcmp(at, wanted, bytes) == 0) {
            *aml = skip(*aml, (size_t)(at - aml->at));
            return true;
        }
    return false;
}

/* From byte to byte as each tells, until one tells 0 or the end is passed; `at` is before it. */
static __attribute__((noinline)) size_t leap(struct aml aml, size_t at, const uint8_t *step)
{
    uint8_t bytes;

    do {
        bytes = step[aml.at[at]];
        at += bytes;
    } while (bytes && at < aml.bytes);
    return at;
}

/*
 * The same where a whole table is searched, by Boyer, Moore and Horspool: the byte where the
 * pattern may end tells how far it is to the next such place. 0: it does end with that byte.
 * Patterns have up to 255 bytes.
 */
static bool find_in_table(struct aml *aml, const void *pattern, size_t bytes)
{
    const uint8_t *wanted = pattern;
    const size_t last = bytes - 1;
    uint8_t step[256];

    memset(step, (int)bytes, sizeof(step));
    for (size_t i = 0; i < last; i++)
        step[wanted[i]] = (uint8_t)(last - i);
    step[wanted[last]] = 0;
    for (size_t end = last; end < aml->bytes; end++) {
        end = leap(*aml, end, step);
        if (end < aml->bytes && memcmp(aml->at + end - last, wanted, last) == 0) {
            *aml = skip(*aml, end - last);
            return true;
        }
    }
    return false;
}

/* *aml moves to behind the next such name. */
static bool find_name(struct aml *aml, const char *name)
{
    if (!aml_find(aml, name, NAME_BYTES))
        return false;
    *aml = skip(*aml, NAME_BYTES);
    return true;
}

/* PkgLength, §20.2.4: narrows *aml to what it covers, behind itself. false: it reaches too far. */
static bool enter_package(struct aml *aml)
{
    unsigned more = peek(*aml, 0) >> 6;
    size_t bytes = peek(*aml, 0) & (more ? 0x0f : 0x3f);

    for (unsigned i = 0; i < more; i++)
        bytes |= (size_t)peek(*aml, 1 + i) << (4 + 8 * i);
    if (bytes <= more || bytes > aml->bytes)
        return false;
    aml->bytes = bytes;
    *aml = skip(*aml, 1 + more);
    return true;
}

/* A constant; *aml moves behind it. */
static bool read_constant(struct aml *aml, uint64_t *value)
{
    size_t bytes = 0;

    switch (peek(*aml, 0)) {
    case AML_ZERO:
    case AML_ONE:
        *value = peek(*aml, 0);
        break;
    case AML_ONES:
        *value = UINT64_MAX;
        break;
    case AML_BYTE:
        bytes = 1;
        break;
    case AML_WORD:
        bytes = 2;
        break;
    case AML_DWORD:
        bytes = 4;
        break;
    case AML_QWORD:
        bytes = 8;
        break;
    default:
        return false;
    }
    if (aml->bytes < 1 + bytes)
        return false;
    if (bytes) {
        *value = 0;
        memcpy(value, aml->at + 1, bytes);
    }
    *aml = skip(*aml, 1 + bytes);
    return true;
}

bool aml_sleep_type_s5(struct aml aml, uint8_t *type)
{
    uint64_t value;

    while (find_name(&aml, "_S5_")) {
        struct aml package = skip(aml, 1);

        if (peek(aml, 0) != AML_PACKAGE || !enter_package(&package))
            continue;
        package = skip(package, 1); /* the number of elements */
        if (!read_constant(&package, &value))
            continue;
        *type = value & 7;
        return true;
    }
    return false;
}

/*
 * The inside of the device whose first statement stands `offset` bytes from the start; opcode,
 * PkgLength of one to four bytes and name lie before it. false: it is no device's first.
 */
static bool enter_device(struct aml aml, size_t offset, struct aml *body)
{
    for (size_t length_bytes = 1; length_bytes <= 4; length_bytes++) {
        size_t before = 2 + length_bytes + NAME_BYTES;
        struct aml device;

        if (before > offset)
            return false;
        device = skip(aml, offset - before);
        if (peek(device, 0) != AML_EXTENDED || peek(device, 1) != AML_EXT_DEVICE ||
            peek(device, 2) >> 6 != length_bytes - 1)
            continue;
        device = skip(device, 2);
        if (!enter_package(&device))
            continue;
        *body = skip(device, NAME_BYTES);
        return true;
    }
    return false;
}

bool aml_next_device(struct aml *rest, const char *hid, struct aml *body)
{
    uint8_t statement[] = { AML_NAME, '_', 'H', 'I', 'D', AML_STRING, [HID_AT + HID_MAX] = 0 };
    size_t bytes = HID_AT + strnlen(hid, HID_MAX) + 1;
    struct aml before = *rest, found = *rest;

    memcpy(statement + HID_AT, hid, bytes - HID_AT - 1);
    while (find_in_table(&found, statement, bytes)) {
        bool is_first = enter_device(before, (size_t)(found.at - before.at), body);

        found = skip(found, bytes);
        if (is_first && body->bytes >= bytes) {
            *rest = found;
            return true;
        }
    }
    rest->bytes = 0;
    return false;
}

/* Tells the size of a descriptor, its header included; 0: the end, or beyond it. */
static size_t descriptor_bytes(struct aml list)
{
    uint8_t tag = peek(list, 0);
    size_t bytes;

    if (!list.bytes || (tag & ~7u) == RESOURCE_END)
        return 0;
    if (tag & RESOURCE_LARGE)
        bytes = 3 + (peek(list, 1) | (size_t)peek(list, 2) << 8);
    else
        bytes = 1 + (tag & 7u);
    return bytes <= list.bytes ? bytes : 0;
}

static void take_memory32(struct aml descriptor, struct acpi_device *device)
{
    uint32_t base_and_bytes[2];

    if (device->bytes || descriptor.bytes < 12)
        return;
    memcpy(base_and_bytes, descriptor.at + 4, sizeof(base_and_bytes));
    device->base = base_and_bytes[0];
    device->bytes = base_and_bytes[1];
}

static void take_interrupt(struct aml descriptor, struct acpi_device *device)
{
    uint8_t flags = peek(descriptor, 3);

    if (device->has_irq || descriptor.bytes < 9)
        return;
    device->has_irq = true;
    device->irq.level_triggered = !(flags & INTERRUPT_EDGE);
    device->irq.active_low = flags & INTERRUPT_ACTIVE_LOW;
    memcpy(&device->irq.gsi, descriptor.at + 5, sizeof(device->irq.gsi));
}

bool aml_resources(struct aml body, struct acpi_device *device)
{
    uint64_t buffer_bytes;
    size_t bytes;
    struct aml list;

    *device = (struct acpi_device){ 0 };
    if (!find_name(&body, "_CRS") || peek(body, 0) != AML_BUFFER)
        return false;
    list = skip(body, 1);
    if (!enter_package(&list) || !read_constant(&list, &buffer_bytes))
        return false;
    for (; (bytes = descriptor_bytes(list)) != 0; list = skip(list, bytes)) {
        struct aml descriptor = { list.at, bytes };

        if (list.at[0] == RESOURCE_MEMORY32)
            take_memory32(descriptor, device);
        else if (list.at[0] == RESOURCE_INTERRUPT)
            take_interrupt(descriptor, device);
    }
    return device->bytes || device->has_irq;
}

/* And(Local0, mask) == mask, and then Notify(PWRB, 0x80): the mask. */
static bool power_button_mask(struct aml body, uint32_t *mask)
{
    static const uint8_t and_local0[] = { AML_AND, AML_LOCAL0 };
    static const uint8_t notify[] = { AML_NOTIFY, 'P', 'W', 'R', 'B', AML_BYTE, 0x80 };

    for (; aml_find(&body, and_local0, sizeof(and_local0)); body = skip(body, 1)) {
        struct aml rest = skip(body, sizeof(and_local0));
        uint64_t tested, compared;

        if (!read_constant(&rest, &tested))
            continue;
        rest = skip(rest, 1); /* And's third operand: none */
        if (read_constant(&rest, &compared) && tested == compared && tested != 0 &&
            tested <= UINT32_MAX && starts_with(rest, notify, sizeof(notify))) {
            *mask = (uint32_t)tested;
            return true;
        }
    }
    return false;
}

/* OperationRegion(name, SystemMemory, address, at least 4 bytes). */
static bool memory_region(struct aml body, phys_addr_t *address)
{
    static const uint8_t region[] = { AML_EXTENDED, AML_EXT_REGION };

    for (; aml_find(&body, region, sizeof(region)); body = skip(body, 1)) {
        struct aml rest = skip(body, sizeof(region) + NAME_BYTES);
        uint64_t bytes;

        if (peek(rest, 0) != REGION_IN_MEMORY)
            continue;
        rest = skip(rest, 1);
        if (read_constant(&rest, address) && read_constant(&rest, &bytes) &&
            bytes >= sizeof(uint32_t))
            return true;
    }
    return false;
}

bool aml_event_device(struct aml body, struct aml_event_device *found)
{
    return memory_region(body, &found->events) && power_button_mask(body, &found->power_button);
}

/* Name(ADDR, Package(2){low, high}). */
static bool constant_address(struct aml body, phys_addr_t *address)
{
    static const char start[] = { AML_NAME, 'A', 'D', 'D', 'R', AML_PACKAGE };
    uint64_t low, high;

    if (!aml_find(&body, start, sizeof(start)))
        return false;
    body = skip(body, sizeof(start));
    if (!enter_package(&body))
        return false;
    body = skip(body, 1); /* the number of elements */
    if (!read_constant(&body, &low) || !read_constant(&body, &high) || low > UINT32_MAX ||
        high > UINT32_MAX)
        return false;
    *address = high << 32 | low;
    return true;
}

/* Name(VGIA, base) somewhere, and Add(VGIA, constant, ...) in the device. */
static bool added_address(struct aml aml, struct aml body, phys_addr_t *address)
{
    static const char name[] = { AML_NAME, 'V', 'G', 'I', 'A' };
    static const char add[] = { AML_ADD, 'V', 'G', 'I', 'A' };
    uint64_t base, offset;

    if (!aml_find(&aml, name, sizeof(name)) || !aml_find(&body, add, sizeof(add)))
        return false;
    aml = skip(aml, sizeof(name));
    body = skip(body, sizeof(add));
    if (!read_constant(&aml, &base) || !read_constant(&body, &offset) || !base ||
        base > UINT32_MAX || offset > UINT32_MAX)
        return false;
    *address = base + offset;
    return true;
}

bool aml_generation_id(struct aml aml, phys_addr_t *address)
{
    struct aml body = aml;

    return find_in_table(&body, "VM_Gen_Counter", sizeof("VM_Gen_Counter")) &&
           (constant_address(body, address) || added_address(aml, body, address));
}

unsigned aml_root_buses(struct aml aml, uint8_t *buses, unsigned max)
{
    unsigned n = 0;
    uint64_t bus;

    while (n < max && find_name(&aml, "_BBN"))
        if (read_constant(&aml, &bus) && bus <= UINT8_MAX)
            buses[n++] = (uint8_t)bus;
    return n;
}

bool aml_ecam_base(struct aml aml, phys_addr_t *base)
{
    while (find_in_table(&aml, "_CBA", NAME_BYTES)) {
        /* Method(_CBA, 0) { Return(constant) }, or Name(_CBA, constant). */
        struct aml rest = aml = skip(aml, NAME_BYTES);

        if (peek(rest, 0) == 0 && peek(rest, 1) == AML_RETURN)
            rest = skip(rest, 2);
        if (read_constant(&rest, base))
            return true;
    }
    return false;
}
