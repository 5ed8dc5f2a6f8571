// Command crosscheck verifies a log of this platform with the packages behind Go's own checksum database.
//
//	crosscheck log FOLDER KEY INDICES OLD...
//	    opens the folder's checkpoint, rebuilds its tree from the entries and from the tiles, and checks that it
//	    extends the tree of each OLD checkpoint file; prints the inclusion proofs of the leaves INDICES (with
//	    commas between them) and the consistency proofs, both made from tiles, as JSON.
//	crosscheck proof KEY FILE...
//	    verifies .tlog-proof files that hold their entry.
//
// Anything that does not hold ends it with exit code 1 and the reason.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8 // levels of the tree in a tile, as C2SP tlog-tiles fixes it

func main() {
	var err error
	switch {
	case len(os.Args) >= 5 && os.Args[1] == "log":
		err = checkLog(os.Args[2], os.Args[3], os.Args[4], os.Args[5:])
	case len(os.Args) >= 4 && os.Args[1] == "proof":
		for _, file := range os.Args[3:] {
			if err = checkProof(os.Args[2], file); err != nil {
				break
			}
		}
	default:
		err = fmt.Errorf("usage: crosscheck log FOLDER KEY INDICES OLD... | crosscheck proof KEY FILE...")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// ------------------------------------------------------------------ checkpoints

// openCheckpoint verifies a signed checkpoint and returns the tree it states.
func openCheckpoint(message []byte, key string) (tree tlog.Tree, err error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return tree, err
	}
	opened, err := note.Open(message, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tree, fmt.Errorf("not a checkpoint of %s: %q", verifier.Name(), opened.Text)
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

func readCheckpoint(file, key string) (tree tlog.Tree, err error) {
	message, err := os.ReadFile(file)
	if err != nil {
		return tree, err
	}
	return openCheckpoint(message, key)
}

// ------------------------------------------------------------------ the folder

// A folder of tiles. Go's paths have the tile's height in them (tile/8/0/001), C2SP's have not (tile/0/001).
type folder string

func (f folder) read(tile tlog.Tile, level string) ([]byte, error) {
	_, name, _ := strings.Cut(tile.Path(), fmt.Sprintf("tile/%d/%d/", height, tile.L))
	return os.ReadFile(filepath.Join(string(f), "tile", level, name))
}

func (f folder) Height() int { return height }

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, tile := range tiles {
		content, err := f.read(tile, strconv.Itoa(tile.L))
		if err != nil {
			return nil, err
		}
		data = append(data, content)
	}
	return data, nil
}

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

// leafHashes hashes the entries of one bundle.
func (f folder) leafHashes(number int64, width int) ([]tlog.Hash, error) {
	data, err := f.read(tlog.Tile{H: height, N: number, W: width}, "entries")
	if err != nil {
		return nil, err
	}
	var hashes []tlog.Hash
	for len(data) >= 2 {
		end := 2 + int(binary.BigEndian.Uint16(data))
		if end > len(data) {
			break
		}
		hashes = append(hashes, tlog.RecordHash(data[2:end]))
		data = data[end:]
	}
	if len(data) > 0 || len(hashes) != width {
		return nil, fmt.Errorf("bundle %d holds %d whole entries, expected %d", number, len(hashes), width)
	}
	return hashes, nil
}

// ------------------------------------------------------------------ the whole log

type report struct {
	Size        int64                      `json:"size"`
	Root        tlog.Hash                  `json:"root"`
	Inclusion   map[int64]tlog.RecordProof `json:"inclusion"`
	Consistency map[int64]tlog.TreeProof   `json:"consistency"`
}

func checkLog(path, key, indices string, old []string) error {
	f := folder(path)
	tree, err := readCheckpoint(filepath.Join(path, "checkpoint"), key)
	if err != nil {
		return err
	}
	// This reader verifies every tile that it reads against the tree's root.
	tiles := tlog.TileHashReader(tree, f)
	if err := rebuild(f, tree, tiles); err != nil {
		return err
	}
	result := report{tree.N, tree.Hash, map[int64]tlog.RecordProof{}, map[int64]tlog.TreeProof{}}
	for _, text := range strings.Split(indices, ",") {
		index, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		if result.Inclusion[index], err = inclusion(f, tree, tiles, index); err != nil {
			return err
		}
	}
	for _, file := range old {
		before, err := readCheckpoint(file, key)
		if err != nil {
			return err
		}
		if result.Consistency[before.N], err = consistency(f, tree, tiles, before); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// rebuild computes the tree from the entries alone, and compares each leaf with the tiles.
func rebuild(f folder, tree tlog.Tree, tiles tlog.HashReader) error {
	var stored []tlog.Hash
	memory := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var hashes []tlog.Hash
		for _, index := range indexes {
			hashes = append(hashes, stored[index])
		}
		return hashes, nil
	})
	for start := int64(0); start < tree.N; start += 1 << height {
		width := min(tree.N-start, 1<<height)
		hashes, err := f.leafHashes(start>>height, int(width))
		if err != nil {
			return err
		}
		var places []int64
		for i := range hashes {
			places = append(places, tlog.StoredHashIndex(0, start+int64(i)))
		}
		published, err := tiles.ReadHashes(places)
		if err != nil {
			return err
		}
		for i, hash := range hashes {
			if published[i] != hash {
				return fmt.Errorf("entry %d does not hash to its leaf", start+int64(i))
			}
			more, err := tlog.StoredHashesForRecordHash(start+int64(i), hash, memory)
			if err != nil {
				return err
			}
			stored = append(stored, more...)
		}
	}
	root, err := tlog.TreeHash(tree.N, memory)
	if err == nil && root != tree.Hash {
		err = fmt.Errorf("the entries lead to root %v, the checkpoint says %v", root, tree.Hash)
	}
	return err
}

// min of two; Go has it built in only since 1.21.
func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

func inclusion(f folder, tree tlog.Tree, tiles tlog.HashReader, index int64) (tlog.RecordProof, error) {
	number := index >> height
	hashes, err := f.leafHashes(number, int(min(tree.N-number<<height, 1<<height)))
	if err != nil {
		return nil, err
	}
	proof, err := tlog.ProveRecord(tree.N, index, tiles)
	if err != nil {
		return nil, err
	}
	return proof, tlog.CheckRecord(proof, tree.N, tree.Hash, index, hashes[index-number<<height])
}

// consistency checks that the tree extends an older one, whose own tiles must still be there and lead to its root.
func consistency(f folder, tree tlog.Tree, tiles tlog.HashReader, before tlog.Tree) (tlog.TreeProof, error) {
	root, err := tlog.TreeHash(before.N, tlog.TileHashReader(before, f))
	if err != nil {
		return nil, err
	}
	if root != before.Hash {
		return nil, fmt.Errorf("the tiles of size %d lead to root %v, its checkpoint says %v", before.N, root, before.Hash)
	}
	proof, err := tlog.ProveTree(tree.N, before.N, tiles)
	if err != nil {
		return nil, err
	}
	return proof, tlog.CheckTree(proof, tree.N, tree.Hash, before.N, before.Hash)
}

// ------------------------------------------------------------------ proof files

func checkProof(key, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, message, _ := strings.Cut(string(data), "\n\n")
	lines := strings.Split(head, "\n")
	if len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return fmt.Errorf("%s is no proof file", file)
	}
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return err
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	tree, err := openCheckpoint([]byte(message), key)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry))
}
