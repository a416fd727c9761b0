/* Structures with everything that flattening has to know. */
typedef unsigned long u64;
typedef const volatile u64 counted;
enum color { RED = -1, BLUE };
struct inner { short a; union { int whole; char parts[4]; }; };
struct forward;
struct sample {
	counted total;			/* 0 */
	int signed_one;			/* 8 */
	unsigned char flag;		/* 12 */
	struct inner in;		/* 16 */
	struct { int x; unsigned y; };	/* 24 */
	struct inner list[3];		/* 32 */
	u64 grid[2][3];			/* 56 */
	struct forward *next;		/* 104 */
	enum color color;		/* 112 */
	unsigned low : 3, high : 5;	/* 116 */
	int wide : 20;			/* 116, from bit 8 */
	double real;			/* 120 */
	_Bool yes;			/* 128 */
	void (*call)(int);		/* 136 */
	char rest[];			/* 144 */
};
typedef struct { int only; } nameless;
union either { int i; unsigned long l; };
struct sample one;
nameless two;
union either three;
struct forward *four;
