/* stdio: each FILE has a lock, which is the C library's own, and behind it a descriptor that may block.
 *
 * With a descriptor the whole call is a region, the wait for the lock included. Without (fopencookie, memory streams)
 * it may call functions of the program, which are no code for a region: only the wait for the lock is one. */
#include "threads/interpose/region.h"
#include <stdarg.h>
#include <stdio.h>

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
#define STREAM_REGION(stream)                                            \
    __attribute__((cleanup(unlock_stream))) FILE *tenure__locked = NULL; \
    REGION;                                                              \
    if (tenure__region.count != 0 && !has_descriptor(stream)) {          \
        region_end(&tenure__region);                                     \
        flockfile(stream);                                               \
        tenure__locked = (stream);                                       \
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

/* --- reading --- */

STREAM(int, fgetc, (FILE * stream), (stream))
STREAM(int, getc, (FILE * stream), (stream))
STREAM(int, ungetc, (int c, FILE *stream), (c, stream))
STREAM(char *, fgets, (char *line, int bytes, FILE *stream), (line, bytes, stream))
STREAM(size_t, fread, (void *items, size_t bytes, size_t count, FILE *stream), (items, bytes, count, stream))
STREAM(ssize_t, getline, (char **line, size_t *bytes, FILE *stream), (line, bytes, stream))
STREAM(ssize_t, getdelim, (char **line, size_t *bytes, int end, FILE *stream), (line, bytes, end, stream))
STANDARD(int, getchar, stdin, (void), ())

/* --- writing --- */

STREAM(int, fputc, (int c, FILE *stream), (c, stream))
STREAM(int, putc, (int c, FILE *stream), (c, stream))
STREAM(int, fputs, (const char *text, FILE *stream), (text, stream))
STREAM(size_t, fwrite, (const void *items, size_t bytes, size_t count, FILE *stream), (items, bytes, count, stream))
STREAM(int, vfprintf, (FILE * stream, const char *format, va_list list), (stream, format, list))
STANDARD(int, putchar, stdout, (int c), (c))
STANDARD(int, puts, stdout, (const char *text), (text))
STANDARD(int, vprintf, stdout, (const char *format, va_list list), (format, list))
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
STREAM(int, feof, (FILE * stream), (stream))
STREAM(int, ferror, (FILE * stream), (stream))
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
extern int __vfprintf_chk(FILE *stream, int flag, const char *format, va_list list);
extern int __vprintf_chk(int flag, const char *format, va_list list);
extern int __isoc99_vfscanf(FILE *stream, const char *format, va_list list);
extern int __isoc99_vscanf(const char *format, va_list list);
STREAM(ssize_t, __getdelim, (char **line, size_t *bytes, int end, FILE *stream), (line, bytes, end, stream))
STREAM(int, _IO_getc, (FILE * stream), (stream))
STREAM(int, _IO_putc, (int c, FILE *stream), (c, stream))
STREAM(char *, __fgets_chk, (char *line, size_t room, int bytes, FILE *stream), (line, room, bytes, stream))
STREAM(size_t, __fread_chk, (void *items, size_t room, size_t bytes, size_t count, FILE *stream),
    (items, room, bytes, count, stream))
STREAM(int, __vfprintf_chk, (FILE * stream, int flag, const char *format, va_list list), (stream, flag, format, list))
STREAM(int, __isoc99_vfscanf, (FILE * stream, const char *format, va_list list), (stream, format, list))
STANDARD(int, __vprintf_chk, stdout, (int flag, const char *format, va_list list), (flag, format, list))
STANDARD(int, __isoc99_vscanf, stdin, (const char *format, va_list list), (format, list))

/* --- those that take their arguments one by one --- */

#define VARIADIC(name, parameters, call) \
    INTERPOSED int name parameters       \
    {                                    \
        va_list list;                    \
        va_start(list, format);          \
        const int result = call;         \
        va_end(list);                    \
        return result;                   \
    }
extern int __fprintf_chk(FILE *stream, int flag, const char *format, ...);
extern int __printf_chk(int flag, const char *format, ...);
extern int __isoc99_fscanf(FILE *stream, const char *format, ...);
extern int __isoc99_scanf(const char *format, ...);
VARIADIC(fprintf, (FILE * stream, const char *format, ...), vfprintf(stream, format, list))
VARIADIC(printf, (const char *format, ...), vprintf(format, list))
VARIADIC(__fprintf_chk, (FILE * stream, int flag, const char *format, ...), __vfprintf_chk(stream, flag, format, list))
VARIADIC(__printf_chk, (int flag, const char *format, ...), __vprintf_chk(flag, format, list))
VARIADIC(__isoc99_fscanf, (FILE * stream, const char *format, ...), __isoc99_vfscanf(stream, format, list))
VARIADIC(__isoc99_scanf, (const char *format, ...), __isoc99_vscanf(format, list))
