package Bench::Answers;

# Answers of models, 64 KB each, as their APIs spell them: the same bytes in
# every run.

use strict;
use warnings;

use Exporter qw(import);

use Canary::Util qw(spew);

our @EXPORT_OK = qw(answers write_answers);

use constant {
    BYTES => 65_536,
    SSE   => 'text/event-stream',
    JSON  => 'application/json',
};

my @words = qw(your refund was sent to the card on Monday and should be there
               within five working days please tell me if anything else about
               this order is unclear we are sorry for that delay);


# [name, what it is, Content-Type, bytes]
sub answers {
    return (
        ['chat.sse', 'SSE of OpenAI chat, text without usage', SSE, chat()],
        ['chat-usage.sse', 'SSE of OpenAI chat, include_usage', SSE,
         chat_usage()],
        ['messages.sse', 'SSE of Anthropic Messages', SSE, messages()],
        ['responses.sse', 'SSE of OpenAI Responses', SSE, responses()],
        ['chat.json', 'JSON, one long text', JSON, chat_json()],
        ['logprobs.json', 'JSON, log probabilities of tokens', JSON,
         logprobs()],
        ['embedding.json', 'JSON, an embedding', JSON, embedding()],
    );
}


# Stores them in files of these names.
sub write_answers {
    my ($dir) = @_;

    mkdir $dir;
    spew("$dir/$_->[0]", $_->[3]) for answers();
}


# A source of numbers that are not at random.
sub numbers {
    my $state = 1;
    return sub {
        my ($below) = @_;
        $state = ($state * 1_103_515_245 + 12_345) % 2 ** 31;
        return ($state >> 16) % $below;
    };
}


# The start, as many pieces as there is room for, and the end.
sub fill {
    my ($start, $piece, $end) = @_;
    my $bytes = $start;

    $bytes .= $piece->() while length($bytes) + length($end) < BYTES;
    return $bytes . $end;
}


sub word {
    my ($number) = @_;
    return " $words[$number->(scalar @words)]";
}


# -- event streams ------------------------------------------------------------

my $id = 'chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG';
my $chat_head = qq({"id":"$id","object":"chat.completion.chunk",)
    . '"created":1741569952,"model":"gpt-4o-2024-08-06",'
    . '"service_tier":"default","system_fingerprint":"fp_44709d6fcb",';


sub chat_events {
    my ($usage, $end) = @_;
    my $number = numbers();

    return fill('', sub {
        my $word = word($number);
        return qq(data: $chat_head"choices":[{"index":0,"delta":{"content":)
            . qq("$word"},"logprobs":null,"finish_reason":null}]$usage}\n\n);
    }, "${end}data: [DONE]\n\n");
}


sub chat { return chat_events('', '') }


sub chat_usage {
    return chat_events(',"usage":null', "data: $chat_head" . <<'END');
"choices":[],"usage":{"prompt_tokens":19,"completion_tokens":229,"total_tokens":248,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}}

END
}


sub messages {
    my $number = numbers();

    return fill(<<'END', sub {
event: message_start
data: {"type":"message_start","message":{"id":"msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyy","type":"message","role":"assistant","content":[],"model":"claude-opus-4-20250514","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

END
        my $word = word($number);
        return qq(event: content_block_delta\ndata: {"type":)
            . qq("content_block_delta","index":0,"delta":{"type":)
            . qq("text_delta","text":"$word"}}\n\n);
    }, <<'END');
event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":540}}

event: message_stop
data: {"type":"message_stop"}

END
}


sub response {
    my ($event, $status, $usage) = @_;

    return qq(event: response.$event\ndata: {"type":"response.$event",)
        . '"response":{"id":"resp_67c9fdcecf488190bdd9a0409de3a1ec07b8b0ad",'
        . qq("object":"response","created_at":1741290958,"status":"$status",)
        . '"error":null,"incomplete_details":null,"instructions":"You are a '
        . 'helpful assistant.","max_output_tokens":null,"model":'
        . '"gpt-4.1-2025-04-14","output":[],"parallel_tool_calls":true,'
        . '"previous_response_id":null,"reasoning":{"effort":null,"summary":'
        . 'null},"store":true,"temperature":1.0,"text":{"format":{"type":'
        . '"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":'
        . qq("disabled","usage":$usage,"user":null,"metadata":{}}}\n\n);
}


# With "obfuscation" a delta says nothing of its length.
sub responses {
    my $number = numbers();
    my $sequence = 1;
    my @letters = ('a' .. 'z', 'A' .. 'Z', 0 .. 9);

    return fill(response('created', 'in_progress', 'null')
                . response('in_progress', 'in_progress', 'null'), sub {
        my $word = word($number);
        my $noise = join '', map { $letters[$number->(scalar @letters)] }
            1 .. 16 - length $word;
        $sequence++;
        return "event: response.output_text.delta\n"
            . qq(data: {"type":"response.output_text.delta",)
            . qq("sequence_number":$sequence,"item_id":"msg_67c9fdcf37fc8190)
            . qq(ba82116e33fb28c507b8b0ad4e5eb654","output_index":0,)
            . qq("content_index":0,"delta":"$word","logprobs":[],)
            . qq("obfuscation":"$noise"}\n\n);
    }, response('completed', 'completed', '{"input_tokens":37,'
                . '"input_tokens_details":{"cached_tokens":0},'
                . '"output_tokens":236,"output_tokens_details":'
                . '{"reasoning_tokens":0},"total_tokens":273}'));
}


# -- documents ----------------------------------------------------------------

my $chat_end = '"finish_reason":"stop"}],"usage":{"prompt_tokens":19,'
    . '"completion_tokens":229,"total_tokens":248}}';


sub chat_json {
    my $number = numbers();

    return fill(qq({"id":"$id","object":"chat.completion","created":)
                . '1741569952,"model":"gpt-4o-2024-08-06","choices":[{"index":'
                . '0,"message":{"role":"assistant","content":"',
                sub { return word($number) },
                qq(","refusal":null},"logprobs":null,$chat_end));
}


sub logprobs {
    my $number = numbers();
    my $comma = '';

    return fill(qq({"id":"$id","object":"chat.completion","created":)
                . '1741569952,"model":"gpt-4o-2024-08-06","choices":[{"index":'
                . '0,"message":{"role":"assistant","content":"as below"},'
                . '"logprobs":{"content":[', sub {
        my $word = word($number);
        my $token = sprintf '%s{"token":"%s","logprob":-0.%06d,"bytes":[%s],'
            . '"top_logprobs":[]}', $comma, $word, $number->(10_000),
            join ',', unpack 'C*', $word;
        $comma = ',';
        return $token;
    }, "]},$chat_end");
}


sub embedding {
    my $number = numbers();
    my $comma = '';

    return fill('{"object":"list","data":[{"object":"embedding","index":0,'
                . '"embedding":[', sub {
        my $value = sprintf '%s%s0.0%04d%04d', $comma,
            $number->(2) ? '-' : '', $number->(10_000), $number->(10_000);
        $comma = ',';
        return $value;
    }, ']}],"model":"text-embedding-3-small",'
       . '"usage":{"prompt_tokens":8,"total_tokens":8}}');
}


1;
