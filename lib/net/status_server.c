/* SPDX-License-Identifier: MIT */
/*
 * Runs in the network thread, where lwIP's server asks for files by name. A page
 * is rendered when its request comes and lives until the request is closed.
 */
#include "lib/net/status_server.h"

#include "kernel/alloc.h"
#include "kernel/page.h"
#include "kernel/report.h"
#include "lib/base/errno.h"
#include "lib/base/format.h"
#include "lib/base/string.h"
#include "lib/net/history.h"
#include "lib/net/stack.h"
#include "lwip/apps/fs.h"
#include "lwip/apps/httpd.h"
#include "lwip/tcp.h"
#include "lwip/tcpip.h"

#define HEADER_BYTES  256
#define SCRATCH_ORDER 5 /* 128 KiB: a report of some sixty devices */

extern const char status_html[], status_html_end[];

static void write_json(struct text *to)
{
    report_render(REPORT_JSON, to);
}

static void write_metrics(struct text *to)
{
    report_render(REPORT_METRICS, to);
}

static void write_text(struct text *to)
{
    report_render(REPORT_TEXT, to);
}

static const struct page {
    const char *name, *content_type;
    void (*write)(struct text *to); /* NULL: the page for people, which is part of the image */
} pages[] = {
    { "/index.html", "text/html; charset=utf-8", NULL },
    { "/status.json", "application/json", write_json },
    { "/history.json", "application/json", history_write },
    { "/metrics", "text/plain; version=0.0.4", write_metrics },
    { "/status.txt", "text/plain; charset=utf-8", write_text },
};

static char *scratch; /* one report at a time is rendered */

static const struct page *find_page(const char *name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
        if (!strcmp(pages[i].name, name))
            return &pages[i];
    return NULL;
}

/* Headers and body in one block, which is the file's until it is closed. */
static bool make_reply(struct fs_file *file, const struct page *page, const char *body,
                       size_t bytes)
{
    char header[HEADER_BYTES];
    int header_bytes = format(header, sizeof(header),
                              "HTTP/1.0 200 OK\r\nServer: aerostat\r\nContent-Type: %s\r\n"
                              "Content-Length: %lu\r\nCache-Control: no-store\r\n"
                              "Connection: close\r\n\r\n",
                              page->content_type, bytes);
    char *reply = kalloc((size_t)header_bytes + bytes);

    if (!reply)
        return false;
    memcpy(reply, header, (size_t)header_bytes);
    memcpy(reply + header_bytes, body, bytes);
    memset(file, 0, sizeof(*file));
    file->data = reply;
    file->len = header_bytes + (int)bytes;
    file->index = file->len;
    file->flags = FS_FILE_FLAGS_HEADER_INCLUDED;
    return true;
}

int fs_open_custom(struct fs_file *file, const char *name)
{
    const struct page *page = find_page(name);
    struct text text;

    if (!page)
        return 0;
    if (!page->write)
        return make_reply(file, page, status_html, (size_t)(status_html_end - status_html));
    text_init(&text, scratch, PAGE_BYTES(SCRATCH_ORDER));
    page->write(&text);
    /* A report that was cut is no JSON: rather none. */
    return !text.truncated && make_reply(file, page, text.start, text.length);
}

void fs_close_custom(struct fs_file *file)
{
    kfree((void *)(uintptr_t)file->data);
}

/* lwIP's server takes it for granted that it gets its port. */
static int probe_port(void)
{
    struct tcp_pcb *pcb = tcp_new();
    err_t error;

    if (!pcb)
        return -ENOMEM;
    error = tcp_bind(pcb, IP_ADDR_ANY, HTTPD_SERVER_PORT);
    tcp_close(pcb);
    return error == ERR_OK ? 0 : -EADDRINUSE;
}

static int prepare(void)
{
    int error;

    scratch = (char *)(uintptr_t)page_alloc(SCRATCH_ORDER);
    if (!scratch)
        return -ENOMEM;
    error = history_start();
    if (error) {
        page_free((phys_addr_t)(uintptr_t)scratch, SCRATCH_ORDER);
        scratch = NULL;
    }
    return error;
}

int status_server_start(void)
{
    int error;

    if (scratch)
        return -EALREADY;
    LOCK_TCPIP_CORE();
    error = probe_port();
    if (!error)
        error = prepare();
    if (!error)
        httpd_init();
    UNLOCK_TCPIP_CORE();
    return error;
}
