/* SPDX-License-Identifier: MIT */
/*
 * Where the kernel's words come from under UEFI. Firmware puts other things
 * than text among the load options (EDK II marks boot entries that it made itself by 16
 * bytes of a GUID), so that they count only where all of it is text.
 */
#include "boot/efi/loader.h"

static BOOLEAN is_text(CHAR16 c)
{
    return c >= ' ' && c < 127;
}

static CHAR16 lower(CHAR16 c)
{
    return c >= 'A' && c <= 'Z' ? (CHAR16)(c + 'a' - 'A') : c;
}

/* A shell's first word is the program: what ends in ".efi". How much of the text it is. */
static UINTN program_length(const CHAR16 *text, UINTN length)
{
    static const char suffix[] = { '.', 'e', 'f', 'i' };
    UINTN end = 0;

    while (end < length && text[end] != ' ')
        end++;
    if (end < sizeof(suffix))
        return 0;
    for (UINTN i = 0; i < sizeof(suffix); i++)
        if (lower(text[end - sizeof(suffix) + i]) != (CHAR16)suffix[i])
            return 0;
    while (end < length && text[end] == ' ')
        end++;
    return end;
}

/* One character after the other; terminated after each. */
static void append(struct handover *handover, UINTN *length, char c)
{
    if (*length + 1 == sizeof(handover->cmdline)) {
        handover->info.cmdline_truncated = 1;
        return;
    }
    handover->cmdline[(*length)++] = c;
    handover->cmdline[*length] = 0;
}

static void begin(struct handover *handover)
{
    handover->cmdline[0] = 0;
    handover->info.cmdline = handover->cmdline;
    handover->info.cmdline_truncated = 0;
}

BOOLEAN cmdline_from_options(struct handover *handover, const void *options, UINTN bytes)
{
    const CHAR16 *text = options;
    UINTN length = 0, n = 0;

    begin(handover);
    if (!options || bytes % sizeof(*text) || (UINTN)options % sizeof(*text))
        return 0;
    while (length < bytes / sizeof(*text) && text[length]) {
        if (!is_text(text[length]))
            return 0;
        length++;
    }
    for (UINTN i = program_length(text, length); i < length; i++)
        append(handover, &n, (char)text[i]);
    return n > 0;
}

void cmdline_from_file(struct handover *handover, const char *text, UINTN bytes)
{
    UINTN n = 0;

    begin(handover);
    for (UINTN i = 0; i < bytes && text[i] && text[i] != '\n' && text[i] != '\r'; i++)
        append(handover, &n, text[i]);
}
