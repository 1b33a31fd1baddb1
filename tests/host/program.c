/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tests/host/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS 10

bool program_exists(const char *name)
{
    const char *path = getenv("PATH");
    char *folders, *rest, *folder, file[512];
    bool found = false;

    if (asprintf(&folders, "%s:/usr/sbin", path ? path : "/usr/bin") < 0)
        return false;
    for (rest = folders; !found && (folder = strsep(&rest, ":"));) {
        snprintf(file, sizeof(file), "%s/%s", folder, name);
        found = access(file, X_OK) == 0;
    }
    free(folders);
    return found;
}

static _Noreturn void give_up(const char *what)
{
    perror(what);
    exit(1);
}

static _Noreturn void become(const char *log, int input, const char *const *arguments)
{
    int output = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execvp(arguments[0], (char *const *)arguments);
    give_up(arguments[0]);
}

void program_start(struct program *program, const char *log, const char *const *arguments)
{
    int pipe_ends[2];

    *program = (struct program){ 0 };
    snprintf(program->log, sizeof(program->log), "%s", log);
    unlink(log);
    if (pipe2(pipe_ends, O_CLOEXEC))
        give_up("pipe");
    program->input = pipe_ends[1];
    program->pid = fork();
    if (program->pid < 0)
        give_up("fork");
    if (program->pid == 0)
        become(log, pipe_ends[0], arguments);
    close(pipe_ends[0]);
}

void program_tell(struct program *program, const char *line)
{
    if (dprintf(program->input, "%s\n", line) < 0)
        perror("a program does not listen");
}

/* The whole file; "" if there is none yet. */
static char *read_log(const struct program *program, size_t *bytes)
{
    FILE *file = fopen(program->log, "r");
    char *text = NULL;
    size_t room = 0;
    ssize_t got = file ? getdelim(&text, &room, '\0', file) : -1;

    if (file)
        fclose(file);
    *bytes = got < 0 ? 0 : (size_t)got;
    if (got >= 0)
        return text;
    free(text);
    return strdup("");
}

static bool has_ended(const struct program *program)
{
    siginfo_t end = { 0 };

    return waitid(P_PID, (id_t)program->pid, &end, WEXITED | WNOHANG | WNOWAIT) == 0 && end.si_pid;
}

char *program_await(struct program *program, const char *text, unsigned timeout_ms)
{
    for (unsigned waited = 0; waited <= timeout_ms; waited += LOOK_MS) {
        bool ended = has_ended(program);
        size_t bytes;
        char *log = read_log(program, &bytes), *found = NULL;

        if (bytes >= program->heard)
            found = strstr(log + program->heard, text);
        if (found) {
            char *rest = strdup(found + strlen(text));

            program->heard = (size_t)(found - log) + strlen(text);
            free(log);
            return rest;
        }
        free(log);
        if (ended)
            break;
        usleep(LOOK_MS * 1000);
    }
    fprintf(stderr, "\"%s\" was not heard of:\n", text);
    program_show_log(program);
    return NULL;
}

void program_kill(struct program *program)
{
    if (!program->pid)
        return;
    kill(program->pid, SIGKILL);
    while (waitpid(program->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(program->input);
    program->pid = 0;
}

void program_show_log(const struct program *program)
{
    size_t bytes;
    char *log = read_log(program, &bytes);

    fprintf(stderr, "---- %s\n%s----\n", program->log, log);
    free(log);
}
