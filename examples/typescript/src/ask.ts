// Uploads a file, waits until it is indexed, asks a question, and prints the answer as it comes, with its citations.
//
//   npm install && npm run generate && npm run build
//   VECTRION_ADDR=http://127.0.0.1:50051 VECTRION_API_KEY=vk_... npm run ask -- FILE QUESTION

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type Document, DocumentState } from "./gen/vectrion/v1/document_pb.js";
import { IngestionService, UploadDocumentRequestSchema } from "./gen/vectrion/v1/ingestion_pb.js";
import { type AnswerCitation, FinishReason, type Passage, QueryService } from "./gen/vectrion/v1/query_pb.js";

const [file, question] = process.argv.slice(2);
if (!file || !question || !process.env.VECTRION_ADDR || !process.env.VECTRION_API_KEY) {
  console.error("usage: VECTRION_ADDR=… VECTRION_API_KEY=… ask FILE QUESTION");
  process.exit(2);
}

const withKey: Interceptor = (next) => (request) => {
  request.header.set("authorization", `Bearer ${process.env.VECTRION_API_KEY}`);
  return next(request);
};
const transport = createGrpcTransport({ baseUrl: process.env.VECTRION_ADDR, interceptors: [withKey] });
const ingestion = createClient(IngestionService, transport);
const query = createClient(QueryService, transport);

/** The messages of an upload: header, bytes, checksum. */
async function* parts(path: string) {
  type Part = MessageInitShape<typeof UploadDocumentRequestSchema>["part"];
  const message = (part: Part) => create(UploadDocumentRequestSchema, { part });
  yield message({ case: "header", value: { filename: basename(path) } });
  const digest = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) {
    digest.update(chunk);
    yield message({ case: "chunk", value: chunk });
  }
  yield message({ case: "checksum", value: digest.digest("hex") });
}

async function indexed(documentId: string): Promise<Document> {
  // Leaving the loop does not end the call; an open call would keep the program from ending.
  const watch = new AbortController();
  const changes = ingestion.watchDocuments({ filter: { documentIds: [documentId] } }, { signal: watch.signal });
  try {
    for await (const { event } of changes) {
      if (event.case === "changed") {
        if (event.value.state === DocumentState.INDEXED) return event.value;
        if (event.value.state === DocumentState.FAILED) throw new Error(event.value.failure?.message);
      }
    }
  } finally {
    watch.abort();
  }
  throw new Error("the watch ended");
}

const uploaded = await ingestion.uploadDocument(parts(file));
const document = await indexed(uploaded.document!.documentId);
console.log(`${document.filename}: ${document.pageCount} pages, ${document.chunkCount} chunks`);

const passages = new Map<string, Passage>();
const citations: AnswerCitation[] = [];
for await (const { event } of query.answer({ question })) {
  switch (event?.event.case) {
    case "retrieval":
      for (const passage of event.event.value.passages) passages.set(passage.passageId, passage);
      break;
    case "delta":
      process.stdout.write(event.event.value.text);
      break;
    case "citation":
      citations.push(event.event.value);
      break;
    case "done":
      console.log(`\n(FINISH_REASON_${FinishReason[event.event.value.finishReason]})`);
      break;
  }
}
for (const citation of citations) {
  const passage = passages.get(citation.passageId)!;
  console.log(`  ${passage.filename}, page ${passage.pageStart}: ${citation.quote}`);
}
