/* A program with two attached threads, most of whose code knows nothing of Tenure: one is blocked in a call of the C
 * library or of a third one's library, the other collects and only then lets it go on. Without the interposer its stop
 * waits for the blocked thread for ever.
 *
 * usage: program SCENARIO MILLISECONDS. Exit status 0: got through. 3: not in that time. */
#include <arpa/nameser.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <resolv.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <tenure.h>
#include <unistd.h>

enum { STUCK = 3 };

#define REQUIRE(expression)                                                            \
    do {                                                                               \
        if (!(expression)) {                                                           \
            fprintf(stderr, "%s:%d: required: %s\n", __FILE__, __LINE__, #expression); \
            abort();                                                                   \
        }                                                                              \
    } while (0)

struct message {
    long type;
    char text[8];
};

/* --- what the two threads share; a scenario uses some of it --- */

static tenure_heap *heap;
static tenure_thread *collecting; /* the main thread */
static atomic_int waiter_tid;
static pthread_t waiter;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_barrier_t barrier;
static sem_t semaphore;
static bool ready; /* mutex */
static int ends[2], listener, queue, file, other_file;
static char path[] = "/tmp/tenure-interpose-XXXXXX";
static FILE *stream;
static sqlite3 *database;
static struct sockaddr_in address;
static void (*clean)(void); /* removes what would outlive the process; also run by a signal handler */

static struct timespec far_away(clockid_t clock)
{
    struct timespec end;
    clock_gettime(clock, &end);
    end.tv_sec += 3600;
    return end;
}

/* Until the waiter sleeps in the kernel. */
static void await_sleep(void)
{
    char name[64], line[256], state = 0;
    while (atomic_load(&waiter_tid) == 0) sched_yield();
    snprintf(name, sizeof name, "/proc/self/task/%d/stat", atomic_load(&waiter_tid));
    while (state != 'S') {
        const int fd = open(name, O_RDONLY | O_CLOEXEC);
        REQUIRE(fd >= 0);
        const ssize_t got = read(fd, line, sizeof line - 1);
        REQUIRE(got > 0);
        line[got] = 0;
        state = strrchr(line, ')')[2];
        close(fd);
        sched_yield();
    }
}

/* What every scenario does while the other thread is blocked. */
static void collect(void)
{
    TENURE_BLOCKING_CALL(collecting, await_sleep());
    for (unsigned i = 0; i < 9; i++) REQUIRE(tenure_collect(collecting, (tenure_generation)(i % 3)) == TENURE_OK);
}

/* --- locks --- */

static void hold_mutex(void) { REQUIRE(pthread_mutex_lock(&mutex) == 0); }
static void release_mutex(void) { REQUIRE(pthread_mutex_unlock(&mutex) == 0); }
static void want_mutex(void)
{
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
}
static void want_mutex_timed(void)
{
    const struct timespec end = far_away(CLOCK_REALTIME);
    REQUIRE(pthread_mutex_timedlock(&mutex, &end) == 0);
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
}
static void want_mutex_clock(void)
{
    const struct timespec end = far_away(CLOCK_MONOTONIC);
    REQUIRE(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &end) == 0);
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
}

static void hold_rwlock(void) { REQUIRE(pthread_rwlock_wrlock(&rwlock) == 0); }
static void release_rwlock(void) { REQUIRE(pthread_rwlock_unlock(&rwlock) == 0); }
static void want_read(void)
{
    REQUIRE(pthread_rwlock_rdlock(&rwlock) == 0);
    REQUIRE(pthread_rwlock_unlock(&rwlock) == 0);
}
static void want_write(void)
{
    const struct timespec end = far_away(CLOCK_REALTIME);
    REQUIRE(pthread_rwlock_timedwrlock(&rwlock, &end) == 0);
    REQUIRE(pthread_rwlock_unlock(&rwlock) == 0);
}

static void await_ready(void)
{
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    while (!ready) REQUIRE(pthread_cond_wait(&condition, &mutex) == 0);
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
}
static void await_ready_timed(void)
{
    const struct timespec end = far_away(CLOCK_REALTIME);
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    while (!ready) REQUIRE(pthread_cond_timedwait(&condition, &mutex, &end) == 0);
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
}
static void make_ready(void)
{
    REQUIRE(pthread_mutex_lock(&mutex) == 0);
    ready = true;
    REQUIRE(pthread_mutex_unlock(&mutex) == 0);
    REQUIRE(pthread_cond_broadcast(&condition) == 0);
}

static void make_semaphore(void) { REQUIRE(sem_init(&semaphore, 0, 0) == 0); }
static void want_semaphore(void) { REQUIRE(sem_wait(&semaphore) == 0); }
static void post_semaphore(void) { REQUIRE(sem_post(&semaphore) == 0); }

static void make_barrier(void) { REQUIRE(pthread_barrier_init(&barrier, NULL, 2) == 0); }
static void reach_barrier(void)
{
    const int result = pthread_barrier_wait(&barrier);
    REQUIRE(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
}

/* The routine of pthread_once collects while another thread waits for it to end. */
static atomic_bool once_begun;
static void run_once(void)
{
    atomic_store(&once_begun, true);
    collect();
}
static void want_once(void)
{
    while (!atomic_load(&once_begun)) tenure_poll(tenure_self(heap));
    REQUIRE(pthread_once(&once, run_once) == 0);
}
static void do_once(void) { REQUIRE(pthread_once(&once, run_once) == 0); }

static void *end_at_once(void *arg)
{
    char byte;
    REQUIRE(read(ends[0], &byte, 1) == 1);
    return arg;
}
static pthread_t joined;
static void start_another(void)
{
    REQUIRE(pipe(ends) == 0);
    REQUIRE(pthread_create(&joined, NULL, end_at_once, NULL) == 0);
}
static void want_join(void) { REQUIRE(pthread_join(joined, NULL) == 0); }
static void send_byte(void) { REQUIRE(write(ends[1], "b", 1) == 1); }

/* --- descriptors --- */

static void make_pipe(void) { REQUIRE(pipe(ends) == 0); }
static void make_sockets(void) { REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0); }

static void want_read_call(void)
{
    char byte;
    REQUIRE(read(ends[0], &byte, 1) == 1);
}
static void want_readv(void)
{
    char byte;
    const struct iovec vector = { &byte, 1 };
    REQUIRE(readv(ends[0], &vector, 1) == 1);
}
static void want_recv(void)
{
    char byte;
    REQUIRE(recv(ends[0], &byte, 1, 0) == 1);
}
static void want_recvfrom(void)
{
    char byte;
    REQUIRE(recvfrom(ends[0], &byte, 1, 0, NULL, NULL) == 1);
}
static void want_recvmsg(void)
{
    char byte;
    struct iovec vector = { &byte, 1 };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
    REQUIRE(recvmsg(ends[0], &message, 0) == 1);
}

static void fill_pipe(void)
{
    static char bytes[4096];
    make_pipe();
    REQUIRE(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    while (write(ends[1], bytes, sizeof bytes) > 0) {}
    REQUIRE(errno == EAGAIN);
    REQUIRE(fcntl(ends[1], F_SETFL, 0) == 0);
}
static void want_write_call(void) { REQUIRE(write(ends[1], "b", 1) == 1); }
static void drain_pipe(void)
{
    char bytes[4096];
    for (unsigned i = 0; i < 16; i++) REQUIRE(read(ends[0], bytes, sizeof bytes) > 0);
}

static void want_poll(void)
{
    struct pollfd in = { .fd = ends[0], .events = POLLIN };
    REQUIRE(poll(&in, 1, -1) == 1);
}
static void want_ppoll(void)
{
    struct pollfd in = { .fd = ends[0], .events = POLLIN };
    REQUIRE(ppoll(&in, 1, NULL, NULL) == 1);
}
static void want_select(void)
{
    fd_set in;
    FD_ZERO(&in);
    FD_SET(ends[0], &in);
    REQUIRE(select(ends[0] + 1, &in, NULL, NULL, NULL) == 1);
}
static void want_pselect(void)
{
    fd_set in;
    FD_ZERO(&in);
    FD_SET(ends[0], &in);
    REQUIRE(pselect(ends[0] + 1, &in, NULL, NULL, NULL, NULL) == 1);
}
static void want_epoll(void)
{
    const int fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN };
    REQUIRE(epoll_ctl(fd, EPOLL_CTL_ADD, ends[0], &event) == 0);
    REQUIRE(epoll_wait(fd, &event, 1, -1) == 1);
    REQUIRE(epoll_pwait(fd, &event, 1, -1, NULL) == 1);
}

static void bind_loopback(int fd)
{
    socklen_t length = sizeof address;
    address = (struct sockaddr_in) { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    REQUIRE(bind(fd, (struct sockaddr *)&address, length) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
}
static void make_listener(void)
{
    listener = socket(AF_INET, SOCK_STREAM, 0);
    bind_loopback(listener);
    REQUIRE(listen(listener, 1) == 0);
}
static void want_accept(void) { REQUIRE(accept(listener, NULL, NULL) >= 0); }
static void connect_to_it(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
}

/* --- files, processes, signals --- */

static void remove_path(void) { unlink(path); }
static void remove_fifo(void)
{
    unlink("fifo");
    rmdir(path);
}
static void make_fifo(void)
{
    REQUIRE(mkdtemp(path) != NULL);
    clean = remove_fifo;
    REQUIRE(chdir(path) == 0);
    REQUIRE(mkfifo("fifo", 0600) == 0);
}
static void want_fifo(void) { REQUIRE(open("fifo", O_RDONLY) >= 0); }
static void want_fifo_stream(void) { REQUIRE(fopen("fifo", "r") != NULL); }
static void open_fifo(void) { REQUIRE(open("fifo", O_WRONLY) >= 0); }

static void make_file(void)
{
    file = mkstemp(path);
    other_file = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(file >= 0 && other_file >= 0 && unlink(path) == 0);
}
static void hold_flock(void)
{
    make_file();
    REQUIRE(flock(file, LOCK_EX) == 0);
}
static void want_flock(void) { REQUIRE(flock(other_file, LOCK_EX) == 0); }
static void release_flock(void) { REQUIRE(flock(file, LOCK_UN) == 0); }

static int record_lock(int fd, int command, short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET };
    return fcntl(fd, command, &lock);
}
static void hold_record_lock(void)
{
    make_file();
    REQUIRE(record_lock(file, F_OFD_SETLK, F_WRLCK) == 0);
}
static void want_record_lock(void) { REQUIRE(record_lock(other_file, F_OFD_SETLKW, F_WRLCK) == 0); }
static void release_record_lock(void) { REQUIRE(record_lock(file, F_OFD_SETLK, F_UNLCK) == 0); }

static pid_t child;
static void make_child(void)
{
    char byte;
    make_pipe();
    child = fork();
    if (child != 0) return;
    close(ends[1]); /* if the parent gives up, the read ends */
    _exit(read(ends[0], &byte, 1) == 1 ? 0 : 1);
}
static void want_waitpid(void) { REQUIRE(waitpid(child, NULL, 0) == child); }
static void want_wait(void) { REQUIRE(wait(NULL) == child); }
static void want_waitid(void)
{
    siginfo_t info;
    REQUIRE(waitid(P_PID, (id_t)child, &info, WEXITED) == 0);
}
static void make_closed_pipe(void)
{
    make_pipe();
    REQUIRE(fcntl(ends[1], F_SETFD, FD_CLOEXEC) == 0); /* the same */
}
static void want_system(void)
{
    char command[64];
    snprintf(command, sizeof command, "head -c 1 <&%d >/dev/null", ends[0]);
    REQUIRE(system(command) == 0);
}

static void block_signal(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    REQUIRE(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}
static void want_signal(void)
{
    sigset_t set;
    int number;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    REQUIRE(sigwait(&set, &number) == 0 && number == SIGUSR1);
}
static void want_signal_timed(void)
{
    sigset_t set;
    const struct timespec hour = { 3600, 0 };
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    REQUIRE(sigtimedwait(&set, NULL, &hour) == SIGUSR1);
}
static void send_signal(void) { REQUIRE(pthread_kill(waiter, SIGUSR1) == 0); }

static void on_signal(int number) { (void)number; }
static void catch_signal(void) { REQUIRE(signal(SIGUSR1, on_signal) != SIG_ERR); }
static void want_pause(void) { REQUIRE(pause() == -1 && errno == EINTR); }
static void want_sleep(void) { REQUIRE(sleep(3600) > 0); }
static void want_nanosleep(void)
{
    const struct timespec hour = { 3600, 0 };
    REQUIRE(nanosleep(&hour, NULL) == -1 && errno == EINTR);
}
static void want_clock_nanosleep(void)
{
    const struct timespec hour = { 3600, 0 };
    REQUIRE(clock_nanosleep(CLOCK_MONOTONIC, 0, &hour, NULL) == EINTR);
}

static void remove_queue(void) { msgctl(queue, IPC_RMID, NULL); }
static void make_queue(void)
{
    queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    REQUIRE(queue >= 0);
    clean = remove_queue;
}
static void want_message(void)
{
    struct message message;
    const ssize_t got = msgrcv(queue, &message, sizeof message.text, 0, 0);
    if (got < 0 && errno == EIDRM) pause(); /* time is over */
    REQUIRE(got == 1);
}
static void send_message(void) { REQUIRE(msgsnd(queue, &(struct message) { 1, "m" }, 1, 0) == 0); }
static void remove_semaphores(void) { semctl(queue, 0, IPC_RMID); }
static void make_semaphores(void)
{
    queue = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
    REQUIRE(queue >= 0);
    clean = remove_semaphores;
}
static void operate(short by)
{
    const int result = semop(queue, &(struct sembuf) { 0, by, 0 }, 1);
    if (result < 0 && errno == EIDRM) pause(); /* time is over */
    REQUIRE(result == 0);
}
static void want_semop(void) { operate(-1); }
static void do_semop(void) { operate(1); }

/* --- stdio --- */

static void hold_stream(void)
{
    stream = tmpfile();
    REQUIRE(stream != NULL);
    flockfile(stream);
}
static void release_stream(void) { funlockfile(stream); }
static void want_fputs(void) { REQUIRE(fputs("line\n", stream) >= 0); }
static void want_fprintf(void) { REQUIRE(fprintf(stream, "%d\n", 17) == 3); }
static void want_flockfile(void)
{
    flockfile(stream);
    funlockfile(stream);
}
static void hold_memory_stream(void)
{
    static char text[64];
    stream = fmemopen(text, sizeof text, "w");
    REQUIRE(stream != NULL);
    flockfile(stream);
}

static void make_stream(void)
{
    make_pipe();
    stream = fdopen(ends[0], "r");
}
static void want_fgets(void)
{
    char line[16];
    REQUIRE(fgets(line, sizeof line, stream) != NULL && strcmp(line, "line\n") == 0);
}
static void want_getline(void)
{
    char *line = NULL;
    size_t bytes = 0;
    REQUIRE(getline(&line, &bytes, stream) == 5);
    free(line);
}
static void want_fread(void)
{
    char bytes[5];
    REQUIRE(fread(bytes, 1, sizeof bytes, stream) == sizeof bytes);
}
static void want_fscanf(void)
{
    char word[16];
    REQUIRE(fscanf(stream, "%15s", word) == 1);
}
static void send_line(void) { REQUIRE(write(ends[1], "line\n", 5) == 5); }

static void make_full_stream(void)
{
    fill_pipe();
    stream = fdopen(ends[1], "w");
    REQUIRE(stream != NULL && fputs("buffered", stream) >= 0);
}
static void want_fflush(void) { REQUIRE(fflush(stream) == 0); }

/* --- a name server that takes its time --- */

static void make_server(void)
{
    listener = socket(AF_INET, SOCK_DGRAM, 0);
    bind_loopback(listener);
}
static void want_name(void)
{
    const struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found;
    REQUIRE(res_init() == 0);
    _res.nscount = 1;
    _res.nsaddr_list[0] = address;
    _res.retrans = 3600;
    REQUIRE(getaddrinfo("nobody.tenure.invalid.", NULL, &hints, &found) == EAI_NONAME);
}
/* Collects while the question waits for its answer: there is no such name. */
static void serve_name(void)
{
    unsigned char packet[NS_PACKETSZ];
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    struct pollfd in = { .fd = listener, .events = POLLIN };
    while (poll(&in, 1, 0) == 0) tenure_poll(collecting);
    const ssize_t bytes = recvfrom(listener, packet, sizeof packet, 0, (struct sockaddr *)&from, &length);
    REQUIRE(bytes >= NS_HFIXEDSZ);
    collect();
    packet[2] |= 0x80; /* an answer */
    packet[3] = (unsigned char)(0x80 | ns_r_nxdomain);
    REQUIRE(sendto(listener, packet, (size_t)bytes, 0, (struct sockaddr *)&from, length) == bytes);
}

/* --- SQLite --- */

static void sql(const char *text)
{
    char *error = NULL;
    if (sqlite3_exec(database, text, NULL, NULL, &error) == SQLITE_OK) return;
    fprintf(stderr, "%s: %s\n", text, error);
    abort();
}

static atomic_bool in_function;

/* A function of the program in SQL, called with the connection's mutex held. */
static void collect_in_sql(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count, (void)values;
    atomic_store(&in_function, true);
    collect();
    sqlite3_result_int(context, 1);
}
static void make_database(void)
{
    REQUIRE(sqlite3_threadsafe());
    REQUIRE(sqlite3_open_v2(":memory:", &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX,
                NULL) == SQLITE_OK);
    REQUIRE(
        sqlite3_create_function(database, "collect", 0, SQLITE_UTF8, NULL, collect_in_sql, NULL, NULL) == SQLITE_OK);
    sql("CREATE TABLE t (n INTEGER)");
}
static void want_database(void)
{
    while (!atomic_load(&in_function)) tenure_poll(tenure_self(heap));
    sql("INSERT INTO t VALUES (1)");
}
static void use_database(void) { sql("SELECT collect()"); }

/* Another process' lock on the database's file, here another connection's: SQLite's busy handler sleeps. */
static sqlite3 *other_database;
static void make_busy_database(void)
{
    file = mkstemp(path);
    REQUIRE(file >= 0);
    clean = remove_path;
    REQUIRE(sqlite3_open(path, &other_database) == SQLITE_OK);
    REQUIRE(sqlite3_exec(other_database, "CREATE TABLE t (n INTEGER); BEGIN EXCLUSIVE", NULL, NULL, NULL) == SQLITE_OK);
    REQUIRE(sqlite3_open(path, &database) == SQLITE_OK);
    REQUIRE(sqlite3_busy_timeout(database, 3600 * 1000) == SQLITE_OK);
}
static void want_busy_database(void) { sql("INSERT INTO t VALUES (1)"); }
static void free_database(void) { REQUIRE(sqlite3_exec(other_database, "COMMIT", NULL, NULL, NULL) == SQLITE_OK); }

/* --- the scenarios --- */

static const struct scenario {
    const char *name, *call; /* call: what the interposer sees it wait in, an expression of grep */
    void (*prepare)(void);   /* main thread, alone */
    void (*wait)(void);      /* the other thread: blocks */
    void (*collects)(void);  /* main thread: comes to collect() in some way */
    void (*end)(void);       /* main thread: the other one may go on */
} scenarios[] = {
    { "mutex", "pthread_mutex_lock", hold_mutex, want_mutex, collect, release_mutex },
    { "mutex-timed", "pthread_mutex_timedlock", hold_mutex, want_mutex_timed, collect, release_mutex },
    { "mutex-clock", "pthread_mutex_clocklock", hold_mutex, want_mutex_clock, collect, release_mutex },
    { "rwlock-read", "pthread_rwlock_rdlock", hold_rwlock, want_read, collect, release_rwlock },
    { "rwlock-write", "pthread_rwlock_timedwrlock", hold_rwlock, want_write, collect, release_rwlock },
    { "condition", "pthread_cond_wait", NULL, await_ready, collect, make_ready },
    { "condition-timed", "pthread_cond_timedwait", NULL, await_ready_timed, collect, make_ready },
    { "semaphore", "sem_wait", make_semaphore, want_semaphore, collect, post_semaphore },
    { "barrier", "pthread_barrier_wait", make_barrier, reach_barrier, collect, reach_barrier },
    { "once", "pthread_once", NULL, want_once, do_once, NULL },
    { "join", "pthread_join", start_another, want_join, collect, send_byte },
    { "read", "read", make_pipe, want_read_call, collect, send_byte },
    { "readv", "readv", make_pipe, want_readv, collect, send_byte },
    { "write", "write", fill_pipe, want_write_call, collect, drain_pipe },
    { "recv", "recv", make_sockets, want_recv, collect, send_byte },
    { "recvfrom", "recvfrom", make_sockets, want_recvfrom, collect, send_byte },
    { "recvmsg", "recvmsg", make_sockets, want_recvmsg, collect, send_byte },
    { "poll", "poll", make_pipe, want_poll, collect, send_byte },
    { "ppoll", "ppoll", make_pipe, want_ppoll, collect, send_byte },
    { "select", "select", make_pipe, want_select, collect, send_byte },
    { "pselect", "pselect", make_pipe, want_pselect, collect, send_byte },
    { "epoll", "epoll_wait", make_pipe, want_epoll, collect, send_byte },
    { "accept", "accept", make_listener, want_accept, collect, connect_to_it },
    { "fifo", "open", make_fifo, want_fifo, collect, open_fifo },
    { "fifo-stream", "fopen", make_fifo, want_fifo_stream, collect, open_fifo },
    { "flock", "flock", hold_flock, want_flock, collect, release_flock },
    { "record-lock", "fcntl", hold_record_lock, want_record_lock, collect, release_record_lock },
    { "waitpid", "waitpid", make_child, want_waitpid, collect, send_byte },
    { "wait", "wait", make_child, want_wait, collect, send_byte },
    { "waitid", "waitid", make_child, want_waitid, collect, send_byte },
    { "system", "system", make_closed_pipe, want_system, collect, send_byte },
    { "sigwait", "sigwait", block_signal, want_signal, collect, send_signal },
    { "sigtimedwait", "sigtimedwait", block_signal, want_signal_timed, collect, send_signal },
    { "pause", "pause", catch_signal, want_pause, collect, send_signal },
    { "sleep", "sleep", catch_signal, want_sleep, collect, send_signal },
    { "nanosleep", "nanosleep", catch_signal, want_nanosleep, collect, send_signal },
    { "clock-nanosleep", "clock_nanosleep", catch_signal, want_clock_nanosleep, collect, send_signal },
    { "msgrcv", "msgrcv", make_queue, want_message, collect, send_message },
    { "semop", "semop", make_semaphores, want_semop, collect, do_semop },
    { "fputs", "fputs", hold_stream, want_fputs, collect, release_stream },
    { "fprintf", "fprintf", hold_stream, want_fprintf, collect, release_stream },
    { "flockfile", "flockfile", hold_stream, want_flockfile, collect, release_stream },
    { "memory-stream", "flockfile", hold_memory_stream, want_fputs, collect, release_stream },
    { "fgets", "fgets", make_stream, want_fgets, collect, send_line },
    { "getline", "get.*", make_stream, want_getline, collect, send_line },
    { "fread", "fread", make_stream, want_fread, collect, send_line },
    { "fscanf", "fscanf", make_stream, want_fscanf, collect, send_line },
    { "fflush", "fflush", make_full_stream, want_fflush, collect, drain_pipe },
    { "getaddrinfo", "getaddrinfo", make_server, want_name, serve_name, NULL },
    { "sqlite-mutex", "pthread_mutex_lock", make_database, want_database, use_database, NULL },
    { "sqlite-busy", "usleep", make_busy_database, want_busy_database, collect, free_database },
};

static void *run_waiter(void *arg)
{
    const struct scenario *scenario = arg;
    tenure_thread *self = tenure_attach(heap);
    REQUIRE(self != NULL);
    atomic_store(&waiter_tid, (int)syscall(SYS_gettid));
    scenario->wait();
    tenure_detach(self);
    return NULL;
}

static void time_is_over(int number)
{
    (void)number;
    if (clean != NULL) clean();
    _exit(STUCK);
}

static void exit_in(long ms)
{
    const struct itimerval end = { { 0, 0 }, { ms / 1000, ms % 1000 * 1000 } };
    REQUIRE(signal(SIGALRM, time_is_over) != SIG_ERR);
    REQUIRE(setitimer(ITIMER_REAL, &end, NULL) == 0);
}

/* As check=locks ends it. */
static void aborted(int number)
{
    (void)number;
    if (clean != NULL) clean();
}

static void run(const struct scenario *scenario)
{
    REQUIRE(signal(SIGABRT, aborted) != SIG_ERR);
    tenure_options options;
    REQUIRE(tenure_options_init(&options, NULL, 0) == TENURE_OK);
    REQUIRE(tenure_options_parse(&options, "max_heap=64m,verify=before,after", NULL, 0) == TENURE_OK);
    REQUIRE(tenure_heap_create(&heap, &options) == TENURE_OK);
    if (scenario->prepare != NULL) scenario->prepare();
    collecting = tenure_attach(heap);
    REQUIRE(pthread_create(&waiter, NULL, run_waiter, (void *)(uintptr_t)scenario) == 0);
    scenario->collects();
    if (scenario->end != NULL) scenario->end();
    while (pthread_tryjoin_np(waiter, NULL) == EBUSY) tenure_poll(collecting);
    tenure_detach(collecting);
    REQUIRE(tenure_heap_destroy(heap) == TENURE_OK);
    if (clean != NULL) clean();
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
            printf("%s %s\n", scenarios[i].name, scenarios[i].call);
        return argc == 1 ? 0 : 2;
    }
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (strcmp(argv[1], scenarios[i].name) != 0) continue;
        exit_in(atol(argv[2]));
        run(&scenarios[i]);
        return 0;
    }
    fprintf(stderr, "%s: no scenario of that name\n", argv[1]);
    return 2;
}
