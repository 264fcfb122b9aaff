/* From addresses to names, without the loader: dladdr takes its lock, which a thread that is parked or late inside
 * dlopen owns. /proc/self/maps says which file is mapped where, and the file itself has the symbols: .symtab with the
 * static functions if it was not stripped, else .dynsym. Read by pread into the stack; nothing is mapped or allocated.
 */
#include "threads/report.h"
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static_assert(sizeof(void *) == 8, "files are read as ELF64");

/* --- what is mapped where --- */

/* "start-end perms offset device inode   path" */
static void add_range(tenure__code *code, char *line)
{
    char *at;
    const uintptr_t start = strtoull(line, &at, 16);
    const uintptr_t end = strtoull(at + 1, &at, 16);
    if (strlen(at) < 5 || at[3] != 'x' || code->count == TENURE__CODE_MAX) return;
    const uint64_t offset = strtoull(at + 5, &at, 16);
    const char *path = strpbrk(at, "/[");
    if (path == 0) path = "";
    const size_t bytes = strlen(path) + 1;
    if (code->path_bytes + bytes > sizeof code->paths) return;
    memcpy(code->paths + code->path_bytes, path, bytes);
    code->ranges[code->count].start = start;
    code->ranges[code->count].end = end;
    code->ranges[code->count].offset = offset;
    code->ranges[code->count++].path = (uint32_t)code->path_bytes;
    code->path_bytes += bytes;
}

void tenure__code_read(tenure__code *code)
{
    char bytes[8192];
    size_t length = 0;
    code->count = 0;
    code->path_bytes = 0;
    const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    for (ssize_t got; (got = read(fd, bytes + length, sizeof bytes - 1 - length)) > 0;) {
        length += (size_t)got;
        bytes[length] = '\0';
        char *line = bytes;
        for (char *end; (end = strchr(line, '\n')) != 0; line = end + 1) {
            *end = '\0';
            add_range(code, line);
        }
        length -= (size_t)(line - bytes);
        memmove(bytes, line, length);
    }
    close(fd);
}

static unsigned range_of(const tenure__code *code, uintptr_t address)
{
    unsigned i = 0;
    while (i < code->count && (address < code->ranges[i].start || address >= code->ranges[i].end)) i++;
    return i;
}

bool tenure__code_contains(const tenure__code *code, uintptr_t address)
{
    return range_of(code, address) < code->count;
}

/* --- symbols in a file --- */

static bool read_at(int fd, void *to, size_t bytes, uint64_t offset)
{
    return pread(fd, to, bytes, (off_t)offset) == (ssize_t)bytes;
}

/* The address that the file gives to what lies at that offset in it. */
static uint64_t address_of_offset(int fd, const Elf64_Ehdr *header, uint64_t offset)
{
    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr segment;
        if (!read_at(fd, &segment, sizeof segment, header->e_phoff + i * sizeof segment)) break;
        if (segment.p_type == PT_LOAD && offset - segment.p_offset < segment.p_filesz)
            return offset - segment.p_offset + segment.p_vaddr;
    }
    return offset;
}

static bool section_find(int fd, const Elf64_Ehdr *header, uint32_t type, Elf64_Shdr *section)
{
    for (unsigned i = 0; i < header->e_shnum; i++)
        if (!read_at(fd, section, sizeof *section, header->e_shoff + i * sizeof *section))
            return false;
        else if (section->sh_type == type)
            return true;
    return false;
}

static bool covers(const Elf64_Sym *symbol, uint64_t address)
{
    const unsigned type = ELF64_ST_TYPE(symbol->st_info);
    return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF &&
           address - symbol->st_value < symbol->st_size;
}

static bool symbol_read(
    int fd, const Elf64_Ehdr *header, const Elf64_Shdr *table, uint64_t address, tenure__symbol *out)
{
    Elf64_Sym symbols[128];
    const uint64_t total = table->sh_size / sizeof symbols[0];
    for (uint64_t first = 0; first < total; first += 128) {
        const uint64_t count = total - first < 128 ? total - first : 128;
        if (!read_at(fd, symbols, count * sizeof symbols[0], table->sh_offset + first * sizeof symbols[0]))
            return false;
        for (unsigned i = 0; i < count; i++) {
            if (!covers(&symbols[i], address)) continue;
            Elf64_Shdr names;
            if (!read_at(fd, &names, sizeof names, header->e_shoff + table->sh_link * sizeof names)) return false;
            const ssize_t got =
                pread(fd, out->name, sizeof out->name - 1, (off_t)(names.sh_offset + symbols[i].st_name));
            out->name[got > 0 ? got : 0] = '\0';
            out->offset = address - symbols[i].st_value;
            return got > 0;
        }
    }
    return false;
}

static void symbol_of_file(int fd, uint64_t offset, tenure__symbol *symbol)
{
    Elf64_Ehdr header;
    Elf64_Shdr table;
    if (!read_at(fd, &header, sizeof header, 0) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return;
    symbol->address = address_of_offset(fd, &header, offset);
    if (section_find(fd, &header, SHT_SYMTAB, &table) && symbol_read(fd, &header, &table, symbol->address, symbol))
        return;
    if (section_find(fd, &header, SHT_DYNSYM, &table)) symbol_read(fd, &header, &table, symbol->address, symbol);
}

void tenure__symbol_find(const tenure__code *code, uintptr_t address, bool call, tenure__symbol *symbol)
{
    *symbol = (tenure__symbol) { .file = "?", .address = address };
    const unsigned i = range_of(code, address);
    if (i == code->count) return;
    const char *path = code->paths + code->ranges[i].path;
    const char *slash = strrchr(path, '/');
    symbol->file = slash != 0 ? slash + 1 : path;
    if (slash == 0) return; /* [vdso], or code that the program made */
    /* A call may be its function's last instruction: what belongs to it ends where it returns to. */
    const uint64_t offset = address - code->ranges[i].start + code->ranges[i].offset - call;
    symbol->address = offset;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return;
    symbol_of_file(fd, offset, symbol);
    close(fd);
    symbol->address += call;
    symbol->offset += call;
}

void tenure__symbol_print(const tenure__symbol *symbol, tenure__text *text)
{
    if (symbol->name[0] != '\0') tenure__text_add(text, "%s+0x%llx ", symbol->name, (unsigned long long)symbol->offset);
    tenure__text_add(text, "(%s+0x%llx)", symbol->file, (unsigned long long)symbol->address);
}

bool tenure__symbol_is_system(const tenure__symbol *symbol)
{
    static const char *const files[] = { "libc.so", "libc-", "libpthread", "libasan", "libtsan", "libubsan",
        "ld-linux" };
    for (unsigned i = 0; i < sizeof files / sizeof files[0]; i++)
        if (strncmp(symbol->file, files[i], strlen(files[i])) == 0) return true;
    return false;
}
