/* A vendor that costs nothing: answers every chat at once, whole (a body of 630 bytes) or as a stream of 32 events,
 * usage and [DONE], each event in a write of its own. One thread, epoll, HTTP/1.1 with keep-alive, loopback only.
 * Usage: mock_upstream [port]; prints the port it listens on. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BODY = 630, EVENTS = 32, BUFFER = 1 << 17, MAX_FD = 4096 };

struct peer {
    char data[BUFFER];
    size_t length;
};

static struct peer *peers[MAX_FD];
static char whole[2048], models[512], fine[256];
static size_t whole_length, models_length, fine_length;
static char stream[EVENTS + 5][512];
static size_t stream_length[EVENTS + 5];
static int stream_writes;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static size_t json_answer(char *out, size_t size, const char *body) {
    return (size_t)snprintf(out, size, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                            strlen(body), body);
}

static void add_write(const char *text, int as_chunk) {
    char *out = stream[stream_writes];
    int length = as_chunk ? snprintf(out, 512, "%zx\r\n%s\r\n", strlen(text), text) : snprintf(out, 512, "%s", text);
    stream_length[stream_writes++] = (size_t)length;
}

static void prepare(void) {
    const char *head = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1767225600,\"model\":\"mock\","
                       "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"";
    const char *tail = "\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":100,"
                       "\"completion_tokens\":64,\"total_tokens\":164}}";
    char body[BODY + 1];
    size_t text = BODY - strlen(head) - strlen(tail);
    snprintf(body, sizeof body, "%s", head);
    for (size_t i = 0; i < text; i++) body[strlen(head) + i] = "benchmark "[i % 10];
    snprintf(body + strlen(head) + text, sizeof body - strlen(head) - text, "%s", tail);
    whole_length = json_answer(whole, sizeof whole, body);
    models_length = json_answer(models, sizeof models,
                                "{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":\"model\","
                                "\"created\":1767225600,\"owned_by\":\"bench\"}]}");
    fine_length = json_answer(fine, sizeof fine, "{\"status\":\"ok\"}");

    const char *envelope = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,"
                           "\"model\":\"mock\",";
    char event[480];
    add_write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", 0);
    for (int i = 0; i < EVENTS; i++) {
        snprintf(event, sizeof event, "%s\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word%02d\"},\"finish_reason\":null}]}\n\n",
                 envelope, i);
        add_write(event, 1);
    }
    snprintf(event, sizeof event, "%s\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n", envelope);
    add_write(event, 1);
    snprintf(event, sizeof event,
             "%s\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":32,\"total_tokens\":132}}\n\n", envelope);
    add_write(event, 1);
    add_write("data: [DONE]\n\n", 1);
    add_write("0\r\n\r\n", 0);
}

static int send_all(int fd, const char *data, size_t length) {
    while (length) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            if (poll(&writable, 1, 5000) <= 0) return -1;
        } else if (sent < 0) {
            return -1;
        } else {
            data += sent;
            length -= (size_t)sent;
        }
    }
    return 0;
}

static int answer(int fd, const char *request, const char *body) {
    if (!strncmp(request, "GET ", 4)) {
        int list = strstr(request, "/models") && strstr(request, "/models") < strstr(request, "\r\n");
        return list ? send_all(fd, models, models_length) : send_all(fd, fine, fine_length);
    }
    if (!strstr(body, "\"stream\":true") && !strstr(body, "\"stream\": true")) return send_all(fd, whole, whole_length);
    for (int i = 0; i < stream_writes; i++)
        if (send_all(fd, stream[i], stream_length[i])) return -1;
    return 0;
}

/* Answers every whole request in the buffer; -1: close. */
static int serve(int fd, struct peer *peer) {
    for (;;) {
        peer->data[peer->length] = 0;
        char *end = strstr(peer->data, "\r\n\r\n");
        if (!end) return peer->length < BUFFER - 1 ? 0 : -1;
        size_t head = (size_t)(end - peer->data) + 4, body = 0;
        char *field = strcasestr(peer->data, "\r\ncontent-length:");
        if (field && field < end) body = strtoul(field + 17, NULL, 10);
        if (head + body >= BUFFER) return -1;
        if (peer->length < head + body) return 0;
        char after = peer->data[head + body];
        peer->data[head + body] = 0;
        if (answer(fd, peer->data, peer->data + head)) return -1;
        peer->data[head + body] = after;
        peer->length -= head + body;
        memmove(peer->data, peer->data + head + body, peer->length);
    }
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), events = epoll_create1(0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prepare();
    address.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1024)) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[256];
    epoll_ctl(events, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(events, ready, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) {
                int accepted;
                while ((accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    if (accepted >= MAX_FD || !(peers[accepted] = calloc(1, sizeof(struct peer)))) {
                        close(accepted);
                        continue;
                    }
                    setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    event.data.fd = accepted;
                    epoll_ctl(events, EPOLL_CTL_ADD, accepted, &event);
                }
                continue;
            }
            struct peer *peer = peers[fd];
            ssize_t got = recv(fd, peer->data + peer->length, BUFFER - 1 - peer->length, 0);
            if (got < 0 && errno == EAGAIN) continue;
            if (got > 0) peer->length += (size_t)got;
            if (got <= 0 || serve(fd, peer)) {
                free(peer);
                peers[fd] = NULL;
                close(fd);
            }
        }
    }
}
