/* stdio: each FILE has a lock, which is the C library's own, and behind it a descriptor that may block.
 *
 * With a descriptor the whole call is a region, the wait for the lock included. Without (fopencookie, memory streams)
 * it may call functions of the program, which are no code for a region: only the wait for the lock is one. */
#include "threads/interpose/region.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef getc
#undef putc
#undef feof
#undef ferror
#undef clearerr

static void unlock_stream(FILE **stream)
{
    if (*stream != NULL) funlockfile(*stream);
}

/* Owns the lock on return; as in locks.c. */
INTERPOSED void flockfile(FILE *stream)
{
    if (REAL(ftrylockfile)(stream) == 0) return;
    REGION;
    if (tenure__region.count == 0) {
        REAL(flockfile)(stream);
        return;
    }
    for (;;) {
        REAL(flockfile)(stream);
        if (region_try_leave(&tenure__region)) return;
        REAL(funlockfile)(stream);
        region left = tenure__region;
        region_end(&tenure__region);
        if (REAL(ftrylockfile)(stream) == 0) return;
        region_enter(&left);
        tenure__region = left;
    }
}

static bool has_descriptor(FILE *stream)
{
    const int error = errno;
    const bool has = fileno(stream) >= 0;
    errno = error;
    return has;
}

/* A region to the end of the function, or the stream's lock. */
#define STREAM_REGION(stream)                                             \
    __attribute__((cleanup(unlock_stream))) FILE *tenure__locked = NULL;  \
    REGION;                                                               \
    if (!region_is_nothing(&tenure__region) && !has_descriptor(stream)) { \
        region_end(&tenure__region);                                      \
        flockfile(stream);                                                \
        tenure__locked = (stream);                                        \
    }

/* A function whose argument is the stream; of a stream that every program has; without a result. */
#define STREAM(type, name, parameters, arguments) STANDARD(type, name, stream, parameters, arguments)
#define STANDARD(type, name, stream, parameters, arguments) \
    INTERPOSED type name parameters                         \
    {                                                       \
        STREAM_REGION(stream)                               \
        return REAL(name) arguments;                        \
    }
#define STREAM_VOID(name, stream, parameters, arguments) \
    INTERPOSED void name parameters                      \
    {                                                    \
        STREAM_REGION(stream)                            \
        REAL(name) arguments;                            \
    }

/* A function that need not go to the descriptor if the buffer fits, which is looked at owning the stream's lock: then
 * no region is needed, and nothing known of the thread. If it should go there all the same, it holds up a stop, no
 * more. */
#define BUFFERED(type, name, stream, fits, parameters, arguments) \
    INTERPOSED type name parameters                               \
    {                                                             \
        if (REAL(ftrylockfile)(stream) == 0) {                    \
            const bool straight = (fits);                         \
            type result = (type)0;                                \
            if (straight) result = REAL(name) arguments;          \
            REAL(funlockfile)(stream);                            \
            if (straight) return result;                          \
        }                                                         \
        STREAM_REGION(stream)                                     \
        return REAL(name) arguments;                              \
    }

/* --- reading --- */

static size_t unread(const FILE *stream) { return (size_t)(stream->_IO_read_end - stream->_IO_read_ptr); }

static bool has_unread(const FILE *stream, size_t bytes, size_t count)
{
    return bytes == 0 || count <= unread(stream) / bytes;
}

static bool has_line(const FILE *stream, int end)
{
    return unread(stream) != 0 && memchr(stream->_IO_read_ptr, end, unread(stream)) != NULL;
}

static bool has_line_or(const FILE *stream, int bytes)
{
    return bytes <= 1 || has_unread(stream, 1, (size_t)bytes - 1) || has_line(stream, '\n');
}

BUFFERED(int, fgetc, stream, unread(stream) != 0, (FILE * stream), (stream))
BUFFERED(int, getc, stream, unread(stream) != 0, (FILE * stream), (stream))
BUFFERED(int, getchar, stdin, unread(stdin) != 0, (void), ())
BUFFERED(int, ungetc, stream, true, (int c, FILE *stream), (c, stream))
BUFFERED(
    char *, fgets, stream, has_line_or(stream, bytes), (char *line, int bytes, FILE *stream), (line, bytes, stream))
BUFFERED(size_t, fread, stream, has_unread(stream, bytes, count),
    (void *items, size_t bytes, size_t count, FILE *stream), (items, bytes, count, stream))
BUFFERED(
    ssize_t, getline, stream, has_line(stream, '\n'), (char **line, size_t *bytes, FILE *stream), (line, bytes, stream))
BUFFERED(ssize_t, getdelim, stream, has_line(stream, end), (char **line, size_t *bytes, int end, FILE *stream),
    (line, bytes, end, stream))

/* --- writing --- */

/* A stream that is written through at each line, or at once, says that it has none. */
static bool has_room(const FILE *stream, size_t bytes, size_t count)
{
    const ptrdiff_t room = stream->_IO_write_end - stream->_IO_write_ptr;
    return room > 0 && (bytes == 0 || count <= (size_t)room / bytes);
}

BUFFERED(int, fputc, stream, has_room(stream, 1, 1), (int c, FILE *stream), (c, stream))
BUFFERED(int, putc, stream, has_room(stream, 1, 1), (int c, FILE *stream), (c, stream))
BUFFERED(int, putchar, stdout, has_room(stdout, 1, 1), (int c), (c))
BUFFERED(int, fputs, stream, has_room(stream, 1, strlen(text)), (const char *text, FILE *stream), (text, stream))
BUFFERED(int, puts, stdout, has_room(stdout, 1, strlen(text) + 1), (const char *text), (text))
BUFFERED(size_t, fwrite, stream, has_room(stream, bytes, count),
    (const void *items, size_t bytes, size_t count, FILE *stream), (items, bytes, count, stream))
STREAM_VOID(perror, stderr, (const char *text), (text))

/* --- the rest that takes the lock --- */

STREAM(int, fclose, (FILE * stream), (stream))
STREAM(int, pclose, (FILE * stream), (stream))
STREAM(int, fseek, (FILE * stream, long to, int from), (stream, to, from))
STREAM(int, fseeko, (FILE * stream, off_t to, int from), (stream, to, from))
STREAM(int, fseeko64, (FILE * stream, off64_t to, int from), (stream, to, from))
STREAM(long, ftell, (FILE * stream), (stream))
STREAM(off_t, ftello, (FILE * stream), (stream))
STREAM(off64_t, ftello64, (FILE * stream), (stream))
STREAM_VOID(rewind, stream, (FILE * stream), (stream))
BUFFERED(int, feof, stream, true, (FILE * stream), (stream))
BUFFERED(int, ferror, stream, true, (FILE * stream), (stream))
STREAM_VOID(clearerr, stream, (FILE * stream), (stream))
STREAM(int, setvbuf, (FILE * stream, char *buffer, int mode, size_t bytes), (stream, buffer, mode, bytes))

BLOCKING(FILE *, fopen, (const char *path, const char *mode), (path, mode))
BLOCKING(FILE *, fopen64, (const char *path, const char *mode), (path, mode))
BLOCKING(FILE *, popen, (const char *command, const char *mode), (command, mode))

/* NULL: all streams, those without a descriptor too. */
INTERPOSED int fflush(FILE *stream)
{
    if (stream == NULL) {
        REGION;
        return REAL(fflush)(stream);
    }
    STREAM_REGION(stream)
    return REAL(fflush)(stream);
}

/* --- under other names: the compiler's, and those of programs compiled with _FORTIFY_SOURCE --- */

extern ssize_t __getdelim(char **line, size_t *bytes, int end, FILE *stream);
extern int _IO_getc(FILE *stream);
extern int _IO_putc(int c, FILE *stream);
extern char *__fgets_chk(char *line, size_t room, int bytes, FILE *stream);
extern size_t __fread_chk(void *items, size_t room, size_t bytes, size_t count, FILE *stream);
BUFFERED(ssize_t, __getdelim, stream, has_line(stream, end), (char **line, size_t *bytes, int end, FILE *stream),
    (line, bytes, end, stream))
BUFFERED(int, _IO_getc, stream, unread(stream) != 0, (FILE * stream), (stream))
BUFFERED(int, _IO_putc, stream, has_room(stream, 1, 1), (int c, FILE *stream), (c, stream))
BUFFERED(char *, __fgets_chk, stream, has_line_or(stream, bytes), (char *line, size_t room, int bytes, FILE *stream),
    (line, room, bytes, stream))
BUFFERED(size_t, __fread_chk, stream, has_unread(stream, bytes, count),
    (void *items, size_t room, size_t bytes, size_t count, FILE *stream), (items, room, bytes, count, stream))

/* --- formats --- */

/* How long the text is going to be is not known before. Where there is some room, and it is not long, it is made aside:
 * in vain if it does not fit. */
enum { ASIDE_BYTES = 256 };
extern int __vsnprintf_chk(char *text, size_t bytes, int flag, size_t room, const char *format, va_list list);

static int print_aside(char text[ASIDE_BYTES], int flag, const char *format, va_list list)
{
    va_list copy;
    va_copy(copy, list);
    const int length = __vsnprintf_chk(text, ASIDE_BYTES, flag, ASIDE_BYTES, format, copy);
    va_end(copy);
    return length;
}

enum { NOT_WRITTEN = EOF - 1 };

/* The call's result, or NOT_WRITTEN. */
static int print_straight(FILE *stream, int flag, const char *format, va_list list)
{
    char text[ASIDE_BYTES];
    if (REAL(ftrylockfile)(stream) != 0) return NOT_WRITTEN;
    const int length = has_room(stream, 1, 1) ? print_aside(text, flag, format, list) : NOT_WRITTEN;
    int result = NOT_WRITTEN;
    if (length >= 0 && length < ASIDE_BYTES && has_room(stream, 1, (size_t)length))
        result = REAL(fwrite)(text, 1, (size_t)length, stream) == (size_t)length ? length : EOF;
    REAL(funlockfile)(stream);
    return result;
}

#define PRINT(stream, flag, with_list, arguments)            \
    int result = print_straight(stream, flag, format, list); \
    if (result == NOT_WRITTEN) {                             \
        STREAM_REGION(stream)                                \
        result = REAL(with_list) arguments;                  \
    }

#define PRINT_LIST(name, stream, flag, parameters, arguments) \
    INTERPOSED int name parameters                            \
    {                                                         \
        PRINT(stream, flag, name, arguments)                  \
        return result;                                        \
    }

/* The arguments one by one. */
#define PRINT_EACH(name, stream, flag, parameters, with_list, arguments) \
    INTERPOSED int name parameters                                       \
    {                                                                    \
        va_list list;                                                    \
        va_start(list, format);                                          \
        PRINT(stream, flag, with_list, arguments)                        \
        va_end(list);                                                    \
        return result;                                                   \
    }

PRINT_LIST(vfprintf, stream, 0, (FILE * stream, const char *format, va_list list), (stream, format, list))
PRINT_LIST(vprintf, stdout, 0, (const char *format, va_list list), (format, list))
PRINT_EACH(fprintf, stream, 0, (FILE * stream, const char *format, ...), vfprintf, (stream, format, list))
PRINT_EACH(printf, stdout, 0, (const char *format, ...), vprintf, (format, list))

extern int __vfprintf_chk(FILE *stream, int flag, const char *format, va_list list);
extern int __vprintf_chk(int flag, const char *format, va_list list);
extern int __fprintf_chk(FILE *stream, int flag, const char *format, ...);
extern int __printf_chk(int flag, const char *format, ...);
PRINT_LIST(__vfprintf_chk, stream, flag, (FILE * stream, int flag, const char *format, va_list list),
    (stream, flag, format, list))
PRINT_LIST(__vprintf_chk, stdout, flag, (int flag, const char *format, va_list list), (flag, format, list))
PRINT_EACH(__fprintf_chk, stream, flag, (FILE * stream, int flag, const char *format, ...), __vfprintf_chk,
    (stream, flag, format, list))
PRINT_EACH(__printf_chk, stdout, flag, (int flag, const char *format, ...), __vprintf_chk, (flag, format, list))

#define SCAN_EACH(name, stream, parameters, with_list, arguments) \
    INTERPOSED int name parameters                                \
    {                                                             \
        va_list list;                                             \
        va_start(list, format);                                   \
        STREAM_REGION(stream)                                     \
        const int result = REAL(with_list) arguments;             \
        va_end(list);                                             \
        return result;                                            \
    }

extern int __isoc99_vfscanf(FILE *stream, const char *format, va_list list);
extern int __isoc99_vscanf(const char *format, va_list list);
extern int __isoc99_fscanf(FILE *stream, const char *format, ...);
extern int __isoc99_scanf(const char *format, ...);
STREAM(int, __isoc99_vfscanf, (FILE * stream, const char *format, va_list list), (stream, format, list))
STANDARD(int, __isoc99_vscanf, stdin, (const char *format, va_list list), (format, list))
SCAN_EACH(__isoc99_fscanf, stream, (FILE * stream, const char *format, ...), __isoc99_vfscanf, (stream, format, list))
SCAN_EACH(__isoc99_scanf, stdin, (const char *format, ...), __isoc99_vscanf, (format, list))
