// An executor in Go. docs/executors.md has the protocol; what it runs stands in `tasks`.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"maps"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/vmihailenco/msgpack/v5"
)

type attempt struct {
	record map[string]any // as it was handed out
	ctx    context.Context
	cancel context.CancelFunc
}
type executor struct {
	ctx        context.Context // done when it is told to end
	id, app    string
	slots      int
	partitions []int32
	client     *kgo.Client
	schemas    map[uint64]*goavro.Codec // by the fingerprint with which a record begins
	running    chan struct{}            // holds one for each slot that is taken
	mutex      sync.Mutex
	held       map[string]*attempt // by token, from the hand-out to the outcome
}

func main() {
	broker, app := flag.String("broker", "localhost:9092", "HOST:PORT"), flag.String("app", "sayiir", "how its topics begin")
	slots, folder := flag.Int("slots", 4, "attempts that run at a time"), flag.String("schemas", "../../schemas", "of Avro")
	flag.Parse()
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	e := &executor{ctx: ctx, id: fmt.Sprintf("go/%d-%x", os.Getpid(), time.Now().UnixNano()), app: *app, slots: *slots,
		schemas: map[uint64]*goavro.Codec{}, running: make(chan struct{}, *slots), held: map[string]*attempt{}}
	for _, name := range []string{"Attempt", "AttemptCancelled"} {
		codec := must(goavro.NewCodec(string(must(os.ReadFile(*folder + "/io.sayiir.attempt.v1." + name + ".avsc")))))
		e.schemas[codec.Rabin] = codec
	}
	e.client = must(kgo.NewClient(kgo.SeedBrokers(*broker), kgo.RecordPartitioner(kgo.ManualPartitioner())))
	// Attempts for us come to the partition of our id; its end is known before we offer.
	topic := *app + ".attempts"
	ends := must(kadm.NewClient(e.client).ListEndOffsets(ctx, topic))[topic]
	e.partitions = slices.Collect(maps.Keys(ends))
	own := int32(kgo.StickyKeyPartitioner(nil).ForTopic(topic).Partition(&kgo.Record{Key: []byte(e.id)}, len(ends)))
	e.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {own: kgo.NewOffset().At(ends[own].Offset)}})
	go e.repeat()
	for ctx.Err() == nil {
		e.client.PollFetches(ctx).EachRecord(e.take)
	}
	e.offer(e.partitions...) // none; what has not begun, or comes before owners hear it, is handed back meanwhile
	for end := time.Now(); time.Since(end) < time.Second/4 || len(e.running) > 0 && time.Since(end) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
		e.client.PollFetches(nil).EachRecord(e.take) // what is here already
	}
}

// take hears one record: an attempt, or that one is not wanted any more.
func (e *executor) take(kafka *kgo.Record) {
	fingerprint, body, err := goavro.FingerprintFromSOE(kafka.Value)
	if string(kafka.Key) != e.id || err != nil || e.schemas[fingerprint] == nil {
		return // for another executor, or of a later build: its owner hands it out again
	}
	native, _, err := e.schemas[fingerprint].NativeFromBinary(body)
	record := must(native, err).(map[string]any)
	e.mutex.Lock()
	defer e.mutex.Unlock()
	before := e.held[token(record)]
	if reason, isCancel := record["reason"]; isCancel {
		if before != nil {
			before.cancel()
		}
		if reason == "timeout" || reason == "lost" { // nobody wants an outcome
			delete(e.held, token(record))
		}
		return
	}
	if before != nil {
		if secret(before.record) == secret(record) {
			return // the same again
		}
		before.cancel() // that hand-out is over
	}
	ctx, cancel := context.WithCancel(context.Background())
	handed := &attempt{record, ctx, cancel}
	e.held[token(record)] = handed
	if tasks[name(record)] == nil || len(e.held) > 2*e.slots || e.ctx.Err() != nil {
		go e.report(handed, "withdrawn", nil)
	} else {
		go e.run(handed)
	}
}

func (e *executor) run(a *attempt) {
	select {
	case e.running <- struct{}{}:
		defer func() { <-e.running }()
	case <-e.ctx.Done(): // it hands back what has not begun
		e.report(a, "withdrawn", nil)
		return
	}
	output, err := tasks[name(a.record)](a.ctx, a.record["input"].([]byte))
	text, unencodable := json.Marshal(output)
	switch {
	case err != nil && a.ctx.Err() != nil: // as it was told
		e.report(a, "withdrawn", nil)
	case err != nil:
		e.report(a, "failed", map[string]any{"error_type": fmt.Sprintf("%T", err), "error": err.Error()})
	case unencodable != nil || int64(len(text)) > a.record["payload_limit"].(int64):
		e.report(a, "failed", map[string]any{"error_type": "too_large", "error": "no JSON, or too much", "retriable": false})
	default:
		e.report(a, "completed", map[string]any{"output": json.RawMessage(text)})
	}
}

// report tells an outcome, which counts by its secret, and makes room for another one.
func (e *executor) report(a *attempt, result string, more map[string]any) {
	record, partition := a.record, a.record["partition"].(int32)
	e.mutex.Lock()
	isWanted := e.held[token(record)] == a
	e.mutex.Unlock()
	if !isWanted {
		return
	}
	command := map[string]any{"command": "RecordOutcome", "instance_id": record["instance_id"], "run": record["run"],
		"path": record["path"], "attempt": record["attempt"], "secret": secret(record), "worker": e.id,
		"command_id": secret(record)[:16] + ":" + result, "result": result}
	maps.Copy(command, more)
	e.produce("commands", partition, []byte(record["instance_id"].(string)), must(json.Marshal(command)))
	e.mutex.Lock()
	delete(e.held, token(record))
	e.mutex.Unlock()
	e.offer(partition)
}

// offer says to the owners of partitions how many more attempts we take.
func (e *executor) offer(partitions ...int32) {
	e.mutex.Lock()
	free, isStopping := max(0, e.slots-len(e.held)), e.ctx.Err() != nil
	e.mutex.Unlock()
	offer := must(msgpack.Marshal(map[string]any{"request": "offer", "executor": e.id, "free": map[bool]int{false: free}[isStopping], "slots": e.slots,
		"tags": []string{}, "graphs": []string{}, "tasks": slices.Collect(maps.Keys(tasks)), "ttl_ms": 30_000, "stopping": isStopping}))
	for _, partition := range partitions {
		e.produce("requests", partition, nil, offer)
	}
}

// repeat offers slots every ten seconds, and renews the leases of all that is held every two.
func (e *executor) repeat() {
	for tick := 0; ; tick++ {
		if tick%5 == 0 {
			e.offer(e.partitions...)
		}
		held := map[int32][]any{}
		e.mutex.Lock()
		for _, a := range e.held {
			r, partition := a.record, a.record["partition"].(int32)
			held[partition] = append(held[partition], []any{r["instance_id"], r["run"], r["path"], r["attempt"], secret(r), nil})
		}
		e.mutex.Unlock()
		for partition, attempts := range held {
			e.produce("requests", partition, nil, must(msgpack.Marshal(
				map[string]any{"request": "progress", "executor": e.id, "attempts": attempts})))
		}
		time.Sleep(2 * time.Second)
	}
}

// produce returns when the log has the record; franz-go repeats it until then.
func (e *executor) produce(topic string, partition int32, key, value []byte) {
	record := &kgo.Record{Topic: e.app + "." + topic, Partition: partition, Key: key, Value: value}
	if err := e.client.ProduceSync(context.Background(), record).FirstErr(); err != nil {
		log.Printf("expected %s to take a record, but %v", record.Topic, err)
	}
}

func token(r map[string]any) string {
	return fmt.Sprint(r["instance_id"], " ", r["run"], " ", r["path"], " ", r["attempt"])
}
func name(r map[string]any) string   { return r["workflow"].(string) + "/" + r["task_id"].(string) }
func secret(r map[string]any) string { return hex.EncodeToString(r["secret"].([]byte)) }

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
