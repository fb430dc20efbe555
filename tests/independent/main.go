// Verifies a published log with Go's own checksum-database packages, which are not ours.
//
//	go run . -url http://127.0.0.1:8000/audit/log -vkey NAME+ID+KEY
//
// It opens the checkpoint as a signed note, reads every entry bundle, and proves by hash tiles that
// each entry stands in the signed tree, and that the tree grew from each of some smaller sizes.
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const width = 256

var base = flag.String("url", "", "where checkpoint and tile/ lie")

func main() {
	vkey := flag.String("vkey", "", "verifier key of the log")
	flag.Parse()
	if err := verify(*vkey); err != nil {
		fmt.Println("BROKEN:", err)
		os.Exit(1)
	}
}

func verify(vkey string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	raw, err := fetch("checkpoint")
	if err != nil {
		return err
	}
	opened, err := note.Open(raw, note.VerifierList(verifier))
	if err != nil {
		return err
	}
	size, root, err := parse(opened.Text, verifier.Name())
	if err != nil {
		return err
	}
	tree := tlog.Tree{N: size, Hash: root}
	reader := tlog.TileHashReader(tree, tiles{})
	for start := int64(0); start < size; start += width {
		entries, err := bundle(start/width, min(width, size-start))
		if err != nil {
			return err
		}
		for n, entry := range entries {
			at := start + int64(n)
			proof, err := tlog.ProveRecord(size, at, reader)
			if err != nil {
				return fmt.Errorf("entry %d: %w", at, err)
			}
			if err := tlog.CheckRecord(proof, size, root, at, tlog.RecordHash(entry)); err != nil {
				return fmt.Errorf("entry %d: %w", at, err)
			}
		}
	}
	for old := int64(1); old <= size; old += 1 + size/50 {
		before, err := tlog.TreeHash(old, reader)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveTree(size, old, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, size, root, old, before); err != nil {
			return err
		}
	}
	fmt.Printf("%d entries hold, %d other signatures\n", size, len(opened.UnverifiedSigs))
	return nil
}

func parse(text, name string) (int64, tlog.Hash, error) {
	lines := strings.Split(text, "\n")
	var size int64
	if len(lines) < 4 || lines[0] != name {
		return 0, tlog.Hash{}, fmt.Errorf("not a checkpoint of %s", name)
	}
	if _, err := fmt.Sscanf(lines[1], "%d", &size); err != nil {
		return 0, tlog.Hash{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return size, root, err
}

// tiles reads hash tiles; C2SP's paths are those of the checksum database without the height.
type tiles struct{}

func (tiles) Height() int                            { return 8 }
func (tiles) SaveTiles(t []tlog.Tile, data [][]byte) {}
func (tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		data, err := fetch(strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func bundle(index, count int64) ([][]byte, error) {
	tile := tlog.Tile{H: 8, L: -1, N: index, W: int(count)}
	path := strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1)
	data, err := fetch(path)
	if err != nil {
		return nil, err
	}
	var found [][]byte
	for len(data) >= 2 {
		length := int(binary.BigEndian.Uint16(data))
		if len(data) < 2+length {
			break
		}
		found = append(found, data[2:2+length])
		data = data[2+length:]
	}
	if len(data) != 0 || int64(len(found)) != count {
		return nil, fmt.Errorf("%s holds %d entries", path, len(found))
	}
	return found, nil
}

var cache = map[string][]byte{}

func fetch(path string) ([]byte, error) {
	if data, ok := cache[path]; ok {
		return data, nil
	}
	answer, err := http.Get(*base + "/" + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	data, err := io.ReadAll(answer.Body)
	if err == nil {
		cache[path] = data
	}
	return data, err
}
