/* A load generator: N kept-alive connections send one request over and over for some seconds, to loopback only.
 * An answer counts when it is whole, has status 200 and, given a fourth text, contains that text.
 * Usage: load port request-file connections seconds [must-contain]; prints one line of JSON, latencies in µs. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 17, MAX_CONNECTIONS = 1024, MAX_SAMPLES = 1 << 22 };

struct connection {
    int fd;
    double started;
    size_t length, scanned;
    char data[BUFFER];
};

static struct sockaddr_in address;
static char request[1 << 16];
static size_t request_length;
static struct connection *connections[MAX_CONNECTIONS];
static uint32_t *samples;
static size_t done, errors;
static int events;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void ask(struct connection *connection) {
    connection->length = connection->scanned = 0;
    connection->started = now();
    /* A request fits into an empty socket buffer; anything else shows as an error when the connection ends. */
    if (send(connection->fd, request, request_length, MSG_NOSIGNAL) != (ssize_t)request_length)
        shutdown(connection->fd, SHUT_RDWR);
}

static void open_connection(struct connection *connection) {
    int one = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof address)) {
        perror("connect");
        exit(1);
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(events, EPOLL_CTL_ADD, connection->fd, &event);
    ask(connection);
}

/* 1: the answer is whole, 0: more is to come, -1: not HTTP. */
static int whole(struct connection *connection) {
    char *end, *data = connection->data;
    data[connection->length] = 0;
    if (!connection->scanned) {
        if (!(end = strstr(data, "\r\n\r\n"))) return 0;
        connection->scanned = (size_t)(end - data) + 4;
    }
    char *field = strcasestr(data, "\r\ncontent-length:");
    char *head_end = strstr(data, "\r\n\r\n");
    if (field && field < head_end) return connection->length >= (size_t)(head_end - data) + 4 + strtoul(field + 17, NULL, 10);
    field = strcasestr(data, "\r\ntransfer-encoding: chunked");
    if (!field || field > head_end) return -1;
    while (connection->scanned < connection->length) {
        char *line = memmem(data + connection->scanned, connection->length - connection->scanned, "\r\n", 2);
        if (!line) return 0;
        size_t size = strtoul(data + connection->scanned, NULL, 16);
        size_t next = (size_t)(line - data) + 2 + size + 2;
        if (next > connection->length) return 0;
        connection->scanned = next;
        if (!size) return 1;
    }
    return 0;
}

static int compare(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static unsigned percentile(double part) {
    size_t count = done < MAX_SAMPLES ? done : MAX_SAMPLES;
    return count ? samples[(size_t)(part * (double)(count - 1))] : 0;
}

int main(int argc, char **argv) {
    if (argc < 5) return 2;
    const char *needed = argc > 5 ? argv[5] : NULL;
    int count = atoi(argv[3]);
    double seconds = atof(argv[4]);
    FILE *file = fopen(argv[2], "rb");
    if (!file || count < 1 || count > MAX_CONNECTIONS || !(samples = malloc(sizeof(uint32_t) * MAX_SAMPLES))) return 2;
    request_length = fread(request, 1, sizeof request, file);
    fclose(file);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    events = epoll_create1(0);
    double start = now(), stop = start + seconds, time = start;
    for (int i = 0; i < count; i++) open_connection(connections[i] = calloc(1, sizeof(struct connection)));
    while ((time = now()) < stop) {
        struct epoll_event ready[256];
        int found = epoll_wait(events, ready, 256, (int)((stop - time) * 1000) + 1);
        for (int i = 0; i < found; i++) {
            struct connection *connection = ready[i].data.ptr;
            ssize_t got = recv(connection->fd, connection->data + connection->length, BUFFER - 1 - connection->length, 0);
            if (got < 0 && errno == EAGAIN) continue;
            if (got > 0) connection->length += (size_t)got;
            int state = got > 0 ? whole(connection) : -1;
            if (state == 0) continue;
            if (state > 0 && !strncmp(connection->data, "HTTP/1.1 200", 12) && (!needed || strstr(connection->data, needed))) {
                if (done < MAX_SAMPLES) samples[done] = (uint32_t)((now() - connection->started) * 1e6);
                done++;
            } else if (!errors++) {
                fprintf(stderr, "first bad answer: %.300s\n", connection->data);
            }
            if (errors > 100) stop = 0;
            if (state < 0) {
                close(connection->fd);
                open_connection(connection);
            } else {
                ask(connection);
            }
        }
    }
    double elapsed = now() - start;
    qsort(samples, done < MAX_SAMPLES ? done : MAX_SAMPLES, sizeof *samples, compare);
    printf("{\"done\":%zu,\"errors\":%zu,\"seconds\":%.3f,\"p50_us\":%u,\"p99_us\":%u}\n", done, errors, elapsed,
           percentile(0.50), percentile(0.99));
    return 0;
}
