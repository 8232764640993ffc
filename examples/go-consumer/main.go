// Command go-consumer reads the events of an app. It knows schemas/ and
// docs/guides/consuming-events.md, and nothing of the library.
//
//	go run . -brokers localhost:9092 -app sayiir              each instance, its workflow, its status
//	go run . -brokers localhost:9092 -app sayiir -from 3:1042 the events of a partition from an offset on
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const limit = 30 * time.Second

func main() {
	brokers := flag.String("brokers", "localhost:9092", "HOST:PORT[,HOST:PORT…]")
	app := flag.String("app", "sayiir", "the app: its events stand on APP.events")
	schemas := flag.String("schemas", "../../schemas", "folder of the .avsc files")
	from := flag.String("from", "", "PARTITION:OFFSET, to print events from there on")
	flag.Parse()

	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	decoder, err := loadSchemas(*schemas)
	if err != nil {
		log.Fatal(err)
	}
	topic := topicReader{brokers: strings.Split(*brokers, ","), name: *app + ".events"}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	if *from == "" {
		err = printStatuses(ctx, topic, decoder, out)
	} else {
		err = printFrom(ctx, topic, decoder, *from, out)
	}
	if err != nil {
		out.Flush()
		log.Fatal(err)
	}
}

func printStatuses(ctx context.Context, topic topicReader, decoder decoder, out *bufio.Writer) error {
	ends, err := topic.ends(ctx)
	if err != nil {
		return err
	}
	starts := map[int32]int64{}
	rules := map[int32]*claimRule{}
	for partition := range ends {
		starts[partition] = 0
		rules[partition] = &claimRule{claim: -1}
	}
	instances := map[string]*instance{}
	err = topic.read(ctx, starts, ends, func(record *kgo.Record) error {
		valid, err := rules[record.Partition].takes(record)
		if err != nil || !valid {
			return err
		}
		event, err := decoder.decode(record.Value)
		if err != nil {
			return fmt.Errorf("%d@%d: %w", record.Partition, record.Offset, err)
		}
		if event.sequence == 0 { // it leaves no trace in an instance
			return nil
		}
		found, ok := instances[event.instanceID]
		if !ok {
			found = &instance{waits: map[string]string{}}
			instances[event.instanceID] = found
		}
		found.fold(event)
		return nil
	})
	if err != nil {
		return err
	}
	ids := make([]string, 0, len(instances))
	for id, found := range instances {
		if found.started {
			ids = append(ids, id)
		}
	}
	sort.Strings(ids)
	for _, id := range ids {
		fmt.Fprintf(out, "%s\t%s\t%s\n", id, instances[id].workflow, instances[id].status())
	}
	return nil
}

func printFrom(ctx context.Context, topic topicReader, decoder decoder, from string, out *bufio.Writer) error {
	left, right, _ := strings.Cut(from, ":")
	number, err := strconv.ParseInt(left, 10, 32)
	if err != nil {
		return err
	}
	partition := int32(number)
	start, err := strconv.ParseInt(right, 10, 64)
	if err != nil {
		return err
	}
	ends, err := topic.ends(ctx)
	if err != nil {
		return err
	}
	end := map[int32]int64{partition: ends[partition]}
	var rule *claimRule
	return topic.read(ctx, map[int32]int64{partition: start}, end, func(record *kgo.Record) error {
		if rule == nil {
			claim, err := topic.claimBefore(ctx, record)
			if err != nil {
				return err
			}
			rule = &claimRule{claim: claim}
		}
		valid, err := rule.takes(record)
		if err != nil || !valid {
			return err
		}
		event, err := decoder.decode(record.Value)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d@%d\t%s\t%s\n", partition, record.Offset, event.kind, event.instanceID)
		return nil
	})
}

// topicReader reads the events topic without a consumer group.
type topicReader struct {
	brokers []string
	name    string
}

// ends says where each partition ends now.
func (t topicReader) ends(ctx context.Context) (map[int32]int64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(t.brokers...))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, t.name)
	if err != nil {
		return nil, err
	}
	if err := listed.Error(); err != nil {
		return nil, err
	}
	ends := map[int32]int64{}
	listed.Each(func(one kadm.ListedOffset) { ends[one.Partition] = one.Offset })
	return ends, nil
}

// read hands over every record from starts up to ends, in the order of each partition.
func (t topicReader) read(ctx context.Context, starts, ends map[int32]int64, take func(*kgo.Record) error) error {
	offsets := map[int32]kgo.Offset{}
	left := 0
	for partition, start := range starts {
		if start < ends[partition] {
			offsets[partition] = kgo.NewOffset().At(start)
			left++
		}
	}
	if left == 0 {
		return nil
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(t.brokers...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{t.name: offsets}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // a hole in a history is no place to go on
		kgo.KeepControlRecords(),                    // they take offsets too
	)
	if err != nil {
		return err
	}
	defer client.Close()
	for left > 0 {
		fetches := client.PollFetches(ctx)
		for _, failed := range fetches.Errors() {
			return fmt.Errorf("partition %d: %w", failed.Partition, failed.Err)
		}
		for records := fetches.RecordIter(); !records.Done(); {
			record := records.Next()
			end := ends[record.Partition]
			if record.Offset >= end {
				continue
			}
			if !record.Attrs.IsControl() {
				if err := take(record); err != nil {
					return err
				}
			}
			if record.Offset == end-1 {
				left--
			}
		}
	}
	return nil
}
