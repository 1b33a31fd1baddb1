/* SPDX-License-Identifier: MIT */
/*
 * The command line, split in place into the kernel's words and the
 * application's arguments. A word ends at white space; single and double quotes
 * hold one together and are taken off, as a shell does.
 *
 * microvm appends its virtio_mmio.device= words behind everything else, so
 * those are the kernel's even behind `--`.
 *
 * Concurrency: written once at start, read-only afterwards.
 */
#include "kernel/cmdline.h"

#include "boot/boot_info.h"
#include "kernel/log.h"
#include "lib/base/errno.h"
#include "lib/base/format.h"
#include "lib/base/string.h"

#define MAX_KERNEL_WORDS 64
#define MAX_ARGUMENTS    128 /* argv[0] among them */

#define MMIO_DEVICE "virtio_mmio.device"

static char copy[BOOT_MAX_CMDLINE];
static const char *kernel_words[MAX_KERNEL_WORDS];
static unsigned n_kernel_words;
static char *arguments[MAX_ARGUMENTS + 1];
static int n_arguments;
static unsigned n_dropped;

static const char *const kernel_keys[] = { "irq", "ring",    "ip",     "balloon",   "clock",
                                           "log", "kvm-off", "poison", "reporting", MMIO_DEVICE };

/*
 * What VMMs and boot loaders add for a Linux guest. Parameters of Linux's
 * modules, known by their dot, are passed over as well.
 */
static const char *const linux_keys[] = {
    "acpi",       "apic",     "BOOT_IMAGE", "console", "debug",     "earlycon", "earlyprintk",
    "init",       "initrd",   "loglevel",   "nokaslr", "nomodules", "noapic",   "panic",
    "pci",        "quiet",    "rdinit",     "reboot",  "ro",        "root",     "rootflags",
    "rootfstype", "rootwait", "rw",         "splash",  "swiotlb",   "tsc",
};

/* Where the value begins when word is `key` or `key=value`; NULL when it is another word. */
static const char *after_key(const char *word, const char *key)
{
    size_t length = strlen(key);

    if (strncmp(word, key, length) || (word[length] && word[length] != '='))
        return NULL;
    return word + length;
}

static bool is_one_of(const char *word, const char *const *keys, unsigned n_keys)
{
    for (unsigned i = 0; i < n_keys; i++) {
        if (after_key(word, keys[i]))
            return true;
    }
    return false;
}

/* A dot before any `=`: a parameter of a Linux module. */
static bool is_module_parameter(const char *word)
{
    while (*word && *word != '=' && *word != '.')
        word++;
    return *word == '.';
}

static void add_kernel_word(const char *word)
{
    bool ours = is_one_of(word, kernel_keys, ARRAY_SIZE(kernel_keys));

    if (!ours) {
        if (!is_one_of(word, linux_keys, ARRAY_SIZE(linux_keys)) && !is_module_parameter(word))
            log_error("command line: unknown word: %s", word);
    } else if (!strchr(word, '=')) {
        log_error("command line: %s wants a value: %s=...", word, word);
    } else if (n_kernel_words == MAX_KERNEL_WORDS) {
        n_dropped++;
    } else {
        kernel_words[n_kernel_words++] = word;
    }
}

static void add_argument(char *word)
{
    if (n_arguments == MAX_ARGUMENTS)
        n_dropped++;
    else
        arguments[n_arguments++] = word;
}

static bool is_space(char character)
{
    return character == ' ' || (character >= '\t' && character <= '\r');
}

/*
 * The next word, its quotes taken off, terminated in place; *at moves behind
 * it. NULL: there is none. *quoted tells `"--"` from `--`.
 */
static char *next_word(char **at, bool *quoted)
{
    char *read = *at, *write, *word;
    char quote = '\0';

    *quoted = false;
    while (is_space(*read))
        read++;
    if (!*read)
        return NULL;
    for (word = write = read; *read && (quote || !is_space(*read)); read++) {
        if (quote ? *read == quote : *read == '"' || *read == '\'') {
            quote = quote ? '\0' : *read;
            *quoted = true;
        } else {
            *write++ = *read;
        }
    }
    if (quote)
        log_error("command line: a quote is not closed");
    *at = *read ? read + 1 : read;
    *write = '\0';
    return word;
}

static void split(char *at)
{
    bool kernels = true, quoted;
    char *word;

    while ((word = next_word(&at, &quoted))) {
        if (kernels && !quoted && !strcmp(word, "--"))
            kernels = false;
        else if (kernels || after_key(word, MMIO_DEVICE))
            add_kernel_word(word);
        else
            add_argument(word);
    }
}

void cmdline_parse(const char *text)
{
    size_t length = strnlen(text, sizeof(copy));

    n_kernel_words = n_dropped = 0;
    n_arguments = 0;
    if (length == sizeof(copy)) {
        length--;
        log_error("command line: cut after %zu bytes", length);
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    add_argument(image_name);
    split(copy);
    arguments[n_arguments] = NULL;
    if (n_dropped)
        log_error("command line: %u words too many", n_dropped);
}

const char *cmdline_value_nth(const char *key, unsigned index)
{
    for (unsigned i = 0; i < n_kernel_words; i++) {
        const char *value = after_key(kernel_words[i], key);

        if (value && !index--)
            return value + 1;
    }
    return NULL;
}

const char *cmdline_value(const char *key)
{
    for (unsigned i = n_kernel_words; i > 0; i--) {
        const char *value = after_key(kernel_words[i - 1], key);

        if (value)
            return value + 1;
    }
    return NULL;
}

static void log_choices(const char *key, const char *value, const char *const *names,
                        unsigned n_names)
{
    char buffer[100];
    struct text text;

    text_init(&text, buffer, sizeof(buffer));
    for (unsigned i = 0; i < n_names; i++)
        text_add(&text, "%s%s", i ? ", " : "", names[i]);
    log_error("command line: %s=%s: not one of %s", key, value, buffer);
}

int cmdline_choice(const char *key, const char *const *names, unsigned n_names)
{
    const char *value = cmdline_value(key);

    if (!value)
        return -ENOENT;
    for (unsigned i = 0; i < n_names; i++) {
        if (!strcmp(value, names[i]))
            return (int)i;
    }
    log_choices(key, value, names, n_names);
    return -EINVAL;
}

int cmdline_argc(void)
{
    return n_arguments;
}

char **cmdline_argv(void)
{
    return arguments;
}
