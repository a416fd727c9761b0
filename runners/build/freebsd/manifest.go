package freebsd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/google/renameio/v2"
)

// manifestHead is a manifest's first line. The lines after it are files, sorted
// by path.
type manifestHead struct {
	Version int    `json:"version"`
	Files   int    `json:"files"`
	Sum     string `json:"sum"` // of all that follows this line
}

// writeManifest records what is in a source folder, all or nothing.
func writeManifest(name string, files []file) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	for _, f := range files {
		if err := enc.Encode(f); err != nil {
			return err
		}
	}
	head, err := json.Marshal(manifestHead{version, len(files), digest(body.Bytes())})
	if err != nil {
		return err
	}
	text := append(append(head, '\n'), body.Bytes()...)
	return renameio.WriteFile(name, text, 0o644)
}

// readManifest reads what writeManifest wrote, or says what is wrong with it.
func readManifest(name string) ([]file, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	line, body, _ := bytes.Cut(text, []byte("\n"))
	var head manifestHead
	if err := json.Unmarshal(line, &head); err != nil {
		return nil, fmt.Errorf("damaged manifest: %w", err)
	}
	if head.Version != version || head.Sum != digest(body) {
		return nil, errors.New("damaged manifest")
	}
	files := make([]file, 0, bytes.Count(body, []byte("\n")))
	for in := bufio.NewScanner(bytes.NewReader(body)); in.Scan(); {
		var f file
		if err := json.Unmarshal(in.Bytes(), &f); err != nil {
			return nil, fmt.Errorf("damaged manifest: %w", err)
		}
		files = append(files, f)
	}
	if len(files) != head.Files {
		return nil, fmt.Errorf("damaged manifest: %d files of %d", len(files), head.Files)
	}
	return files, nil
}
