/* A program that needs a library which lies in lib/ beside it, and that library. */
#include <stdio.h>

#ifdef PROGRAM
const char *noise(void);
int main(void) { printf("%s\ntool %s\n", noise(), VERSION); return 0; }
#else
const char *noise(void) { return "libnoise 3.0.2"; }
#endif
