// Tessera's POSIX log as the bench of the history measures it: told what to do on standard input,
// a line of JSON an answer.
//
//	append 24|2000 COUNT plain|verify    add so many of the events, in the order of the file
//	prove COUNT                          prove events at random places of the larger log
//
// Of "24" as many callers wait for their own event at once; "2000" adds a batch and waits for it.
// "verify" checks the producer's Ed25519 signature of each event before it is added, as ours does.
package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	mathrand "math/rand"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

const origin = "bench.example/tessera"

type event struct{ value, signature []byte }

type log struct {
	add      tessera.AddFn
	folder   string
	size     int
	end      func(context.Context) error
	verifier note.Verifier
}

var (
	folder = flag.String("folder", "", "where the logs are made")
	file   = flag.String("events", "", "events: length (32 bits, big-endian), signature, bytes")
	public = flag.String("public", "", "the producer's public key, in hex")
)

func main() {
	flag.Parse()
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	key, err := hex.DecodeString(*public)
	if err != nil {
		return err
	}
	events, err := read(*file)
	if err != nil {
		return err
	}
	logs := map[int]*log{}
	for _, batch := range []int{24, 2000} {
		if logs[batch], err = open(ctx, batch); err != nil {
			return err
		}
	}
	fmt.Println(`{"ready": true}`)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var word, how string
		var batch, count int
		if n, _ := fmt.Sscanf(lines.Text(), "append %d %d %s", &batch, &count, &how); n == 3 {
			if err := logs[batch].append(ctx, batch, count, events, key, how == "verify"); err != nil {
				return err
			}
		} else if n, _ := fmt.Sscanf(lines.Text(), "%s %d", &word, &count); n == 2 && word == "prove" {
			if err := logs[2000].prove(ctx, count); err != nil {
				return err
			}
		} else {
			return fmt.Errorf("not understood: %q", lines.Text())
		}
	}
	for _, one := range logs {
		if err := one.end(ctx); err != nil {
			return err
		}
	}
	return lines.Err()
}

func read(path string) ([]event, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var found []event
	for len(raw) > 0 {
		length := 4 + ed25519.SignatureSize + int(binary.BigEndian.Uint32(raw))
		if length > len(raw) {
			return nil, io.ErrUnexpectedEOF
		}
		found = append(found, event{value: raw[4+ed25519.SignatureSize : length], signature: raw[4 : 4+ed25519.SignatureSize]})
		raw = raw[length:]
	}
	return found, nil
}

func open(ctx context.Context, batch int) (*log, error) {
	secret, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		return nil, err
	}
	place := filepath.Join(*folder, fmt.Sprint(batch))
	driver, err := posix.New(ctx, posix.Config{Path: place})
	if err != nil {
		return nil, err
	}
	// A batch is written as soon as it is full, as ours is; the checkpoint follows once a second.
	appender, end, _, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCheckpointInterval(time.Second).
		WithBatching(uint(batch), 10*time.Millisecond))
	if err != nil {
		return nil, err
	}
	return &log{add: appender.Add, folder: place, end: end, verifier: verifier}, nil
}

func (l *log) append(ctx context.Context, batch, count int, events []event, key ed25519.PublicKey, verify bool) error {
	todo := make([]event, count) // beyond the last one they come again: it refuses no repetition
	for n := range todo {
		todo[n] = events[(l.size+n)%len(events)]
	}
	l.size += count
	begun := time.Now()
	var err error
	if batch == 24 {
		err = l.inFlight(ctx, batch, todo, key, verify)
	} else {
		err = l.inBatches(ctx, batch, todo, key, verify)
	}
	if err != nil {
		return err
	}
	return tell(map[string]any{"seconds": time.Since(begun).Seconds()})
}

func (l *log) one(ctx context.Context, e event, key ed25519.PublicKey, verify bool) (tessera.IndexFuture, error) {
	if verify && !ed25519.Verify(key, e.value, e.signature) {
		return nil, fmt.Errorf("a signature does not hold")
	}
	return l.add(ctx, tessera.NewEntry(e.value)), nil
}

func (l *log) inFlight(ctx context.Context, callers int, todo []event, key ed25519.PublicKey, verify bool) error {
	var next atomic.Int64
	return together(callers, func() error {
		for {
			at := int(next.Add(1)) - 1
			if at >= len(todo) {
				return nil
			}
			future, err := l.one(ctx, todo[at], key, verify)
			if err != nil {
				return err
			}
			if _, err := future(); err != nil {
				return err
			}
		}
	})
}

func (l *log) inBatches(ctx context.Context, batch int, todo []event, key ed25519.PublicKey, verify bool) error {
	for start := 0; start < len(todo); start += batch {
		part := todo[start:min(start+batch, len(todo))]
		futures := make([]tessera.IndexFuture, len(part))
		var next atomic.Int64
		err := together(runtime.GOMAXPROCS(0), func() error {
			for {
				at := int(next.Add(1)) - 1
				if at >= len(part) {
					return nil
				}
				var err error
				if futures[at], err = l.one(ctx, part[at], key, verify); err != nil {
					return err
				}
			}
		})
		if err != nil {
			return err
		}
		for _, future := range futures {
			if _, err := future(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *log) prove(ctx context.Context, count int) error {
	fetcher := client.FileFetcher{Root: l.folder}
	var size uint64
	for size < uint64(l.size) { // the checkpoint follows once a second
		if told, _, _, err := client.FetchCheckpoint(ctx, fetcher.ReadCheckpoint, l.verifier, origin); err == nil {
			size = told.Size
		}
		time.Sleep(20 * time.Millisecond)
	}
	took := make([]float64, count)
	for n := range took {
		index := uint64(mathrand.Int63n(int64(size)))
		begun := time.Now()
		builder, err := client.NewProofBuilder(ctx, size, fetcher.ReadTile)
		if err != nil {
			return err
		}
		if _, err := builder.InclusionProof(ctx, index); err != nil {
			return err
		}
		took[n] = time.Since(begun).Seconds() * 1000
	}
	return tell(map[string]any{"ms": took, "size": size})
}

func together(count int, work func() error) error {
	var group sync.WaitGroup
	failed := make(chan error, count)
	for range count {
		group.Add(1)
		go func() {
			defer group.Done()
			if err := work(); err != nil {
				failed <- err
			}
		}()
	}
	group.Wait()
	close(failed)
	return <-failed
}

func tell(what map[string]any) error { return json.NewEncoder(os.Stdout).Encode(what) }
