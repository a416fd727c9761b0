package artifacts

import (
	"bufio"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

const maxChecksumFile = 1 << 20 // bytes

var (
	hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)
	bsdDigest = regexp.MustCompile(`^SHA256 \(([^()]+)\) = ([0-9A-Fa-f]{64})$`)
)

var errNoChecksums = errors.New("no line of a MANIFEST or CHECKSUM.SHA256 in it")

// parseChecksums reads a MANIFEST of the release scripts or a file of sha256(1)
// lines and returns hex digests by file name. Lines of another kind, such as a
// signature's, are passed over, but not all of them can be; a file that two lines
// give different digests is an error.
func parseChecksums(text string) (map[string]string, error) {
	sums := make(map[string]string)
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		name, sum := checksumLine(strings.TrimRight(lines.Text(), "\r"))
		if name == "" {
			continue
		}
		if old, ok := sums[name]; ok && old != sum {
			return nil, fmt.Errorf("line %d: %s has two digests, %s and %s", n, name, old, sum)
		}
		sums[name] = sum
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(sums) == 0 {
		return nil, errNoChecksums
	}
	return sums, nil
}

// checksumLine returns empty strings for a line that says no digest.
func checksumLine(line string) (name, sum string) {
	if m := bsdDigest.FindStringSubmatch(line); m != nil {
		return m[1], strings.ToLower(m[2])
	}
	fields := strings.Split(line, "\t")
	if len(fields) >= 4 && namePattern.MatchString(fields[0]) {
		if sum := strings.ToLower(fields[1]); hexDigest.MatchString(sum) {
			return fields[0], sum
		}
	}
	return "", ""
}
