import type { Language } from '../languages.ts';

/**
 * What single words are of: who or what a text speaks about, what is done to it, how it is judged, and what turns a sentence round. A word is of the first
 * field that has it.
 */
export const FIELDS = [
  ...['negation', 'doubt', 'since', 'cause', 'body', 'being', 'symptom', 'accident', 'hazard', 'care', 'remedy'],
  ...['taken', 'food', 'part', 'device', 'garment', 'delivery', 'staff', 'contact', 'screen', 'money', 'relief'],
  ...['praise', 'blame', 'outing'],
] as const;
export type Field = (typeof FIELDS)[number];

/** Beginnings of words, on normalised text; those that end in a space are whole words. */
export const FIELD_WORDS: Readonly<Record<Language, Readonly<Record<Field, string>>>> = {
  en: {
    negation:
      "not |no |never |nothing |none |without |\\p{L}+n't |dont |doesnt |didnt |wont |cant |cannot |isnt |wasnt |nobody |neither |nor |hardly |barely |zero |stopped |nowhere |unlike |free ",
    doubt:
      "can |could |would |should |may |might |if |whether |suppose|what |what's |which |how |who |whom |where |when |does |do |is |are |will |any |anybody |anyone |possible |risk|suitable |okay |safe |please |let |like |wish|used |read |heard |says |said |news ",
    since:
      'since |after |within |minutes |minute |hours |hour |days |day |weeks |week |month|night|overnight|morning|immediately |straight |until |ago |later |began |begun |started |starting |start |first |second |now |still |once |every |each |keeps ',
    cause:
      'gave |gives |giving |made |makes |making |left |leaves |caus|trigger|sent |brought |brings |turned |turns |landed |ended |due |because |got |get |gets |getting |had |having |felt |feel |feels |feeling |broke |came |went |woke |wake |lost |lose |developed |suffer|experienc|noticed |report',
    body: 'hand |hands |arm |arms |face |leg |legs |neck |finger|thumb|foot |feet |toe |toes |toenail|eye |eyes |eyelid|eyebrow|lash|lip |lips |tongue|scalp|chest|throat|ankle|skin |wrist|elbow|knee|shoulder|back |spine|head |nose |mouth|gum |gums |tooth|teeth|jaw |stomach|belly|tummy|gut |guts |bowel|bladder|ear |ears |heart |lung|liver|kidney|rib |ribs |hip |hips |palm|nail |nails |forehead|cheek|chin |thigh|shin |calf |calves |heel |heels |muscle|bone|brain|hair |blood |forearm|knuckle|pulse|groin|bum |bottom |armpit|urine|stool |stools |cornea|sinus|joint|nerve|ligament|tendon|collarbone|skull|womb|breast',
    being:
      "i |i'm |i've |me |my |we |us |our |son |son's |daughter|wife |husband|mother|father|mum |mum's |mom |dad |nan |gran |baby |baby's |babies|toddler|newborn|infant|child|kid |kids |grandma|grandpa|grandad|granddad|granny|grandmother|grandfather|grandson|granddaughter|brother|sister|nephew|niece|friend|neighbour|neighbor|partner|patient|resident|dog |dogs |cat |cats |puppy|kitten|rabbit|pet |boy |girl |girl's |lad |twin|uncle|aunt |guest|hamster|horse|hen |chickens |cow |cows |calves|parrot|budgie|guinea|she |he |him |her ",
    symptom:
      'itch|swell|swoll|swel|rash|hives|blister|vomit|throw|threw |nause|puk|spew|sick |sick|ill |unwell|dizz|faint|lightheaded|drows|dozy |sleepy|groggy|wheez|cough|asthma|breath|fever|shiver|chill|sweat|shak|trembl|tremor|twitch|pain|ache|aching|headache|migraine|cramp|numb|tingl|prickl|pins |seizure|convuls|fit |fits |allerg|anaphyl|reaction|react|infect|fung|ulcer|boils |pimple|spots |acne|eczema|psoria|dermatit|redness|red |raw |sore|sores |scab|flak|peel|diarr|runs |constipat|bloat|heartburn|reflux|indigest|palpitat|racing |tinnitus|ringing |blur|cloudy |blind|double |vision|sight |insomnia|nightmare|hallucinat|confus|forget|anxi|panic|depress|suicid|tearful|cry |crying |moody|paralys|stroke|bleed|bled |nosebleed|miscarr|contraction|jaundice|yellow |passed |blackout|collaps|weak |tired |fatigue|exhaust|weight |balding|thinning|withdraw|symptom|side |effect|adverse|sting|stung|bitten |bite |bites |burning |toxic|poison|salmonella|overdos|drunk|limp |floppy |pale |blue ',
    accident:
      'burn|burned |burnt |scald|scorch|singe|cut |cuts |slic|stab|crush|pinch|trap|hurt|injur|bruis|wound|fell |fall |falls |fallen |slip|tripped |trapp|flung |thrown |knocked |hit |hits |bump|smash|crash|tore |torn |ripped |sprain|twist|fractur|concuss|gash|scratch|splinter|shard|stitches |drown|chok|suffocat|strangl|swallow|drank |ate |shock|zap|jolt|electrocut|broken |died |dead |death|dies |dying |kill|scar |scars |amput|lame |tumbl|dropp|dropped |landed |accident|stuck ',
    hazard:
      'fire |fires |flame|smok|smoul|spark|melt|explod|explos|blew |blow|burst|shatter|overheat|hot |hotter |boiling |ignit|fumes|gas |leak|monoxide|mould|mold|maggot|insect|glass |metal |sliver|needle|screw |bolt|nail |sharp |loose |gave |snapp|sheared |crack|bent |detach|wobbl|unsafe|danger|hazard|recall|brake|strap|buckle|harness|latch|lock |guard|wire|wires|live |exposed |socket|bulg|swollen |puffed |warp|hiss|rotten|contaminat|bleach|acid|chemical|lead |alarm|steep|tipp|fold|wasp|bedbug',
    care: 'hospital|ambulance|paramedic|doctor|gp |er |icu |a&e|emergency|surgeon|surgery|operation|nurse|vet |vets |clinic|dentist|midwife|pharmac|drip |antidote|epipen|adrenalin|firemen|stitches|intensive|admitted |rushed |diagnos|scan |treated |confirmed |firefighters|brigade',
    remedy:
      'pill|tablet|capsule|syrup|drops |drop |injection|jab |jabs |vaccin|booster|inhaler|ointment|patch|medic|meds |drug |drugs|antibiotic|dose|dosage|supplement|vitamin|insulin|statin|painkiller|paracetamol|ibuprofen|infusion|treatment|prescription|steroid|contracept|laxative|antihistam|remedy|therap|chemo|plaster|bandage|dressing|implant|pacemaker|contact |lenses |aligner|brace |hearing |glucose |mg |leaflet|course ',
    taken:
      'cream|lotion|shampoo|conditioner|soap|serum|mascara|deodorant|sunscreen|perfume|scent |mask |dye |lipstick|gloss |balm|gel |wax |wipes |nappies |nappy |diaper|toothpaste|mouthwash|spray|toner|moisturi|makeup|foundation|henna|tattoo|peel |bath |detergent|softener|cleaner|bleach |repellent|ink |oil |powder|collar ',
    food: 'food|meal|lunch|dinner|chicken|salad|juice|yoghurt|yogurt|soup|chocolate|cheese|fish|prawn|drink|tea |coffee|milk|bread|formula|cereal|sauce|wine|beer|burger|pizza|steak|curry|cake|pie |fruit|rice|sandwich|egg |eggs |nut |nuts |peanut|gluten|vegan|tast|flavou?r|restaurant|waiter|waitress|menu |kebab|sushi|kibble|snack|gumm|recipe|jam |honey|spice|tomato',
    part: 'quality|material|fabric|plastic|leather|wood|steel|paint|colou?r|shade|size|fit |fits |seam|stitch|zip|handle|lid |wheel|leg |hinge|drawer|screw|sound|bass|picture|photo|noise|loud|quiet|motor|engine|battery|suction|smell|finish|weigh|heavy|thick|soft |sturdy|flimsy|solid|wobbly|durab|lasts |lasted |fade|shrink|shrank|shrunk|rust|worn |blunt|build|craft|design|model|version|spare ',
    device:
      'charger|phone|laptop|kettle|toaster|heater|oven|iron |blender|lamp|bulb|plug|cable|scooter|bike|car |pram|stroller|buggy|cot |crib|seat|toy |toys |chair|ladder|machine|drill|printer|headphone|earbud|speaker|vacuum|fridge|freezer|helmet|tyre|tire |mower|fan |pan |pot |knife|blade|mattress|bed |pillow|blanket|sofa|table|shelf|tent|camera|tv |router|watch |thermostat|radio|clock|tap |candle|grill|barbecue|stove|boiler|dryer|washer|hoover|trampoline|swing|treadmill|cooker|razor|hairdryer|straightener|microwave',
    garment:
      'shoe|boot|trainer|sock|shirt|jumper|jacket|coat |dress |trousers|jeans|skirt|hat |glove|bag |handbag|backpack|ring |necklace|curtain|towel|sheet|duvet|cushion|rug |carpet|scarf|pyjama|legging',
    delivery:
      'deliver|shipp|shipment|parcel|package|packag|packed |wrapp|courier|driver|rider|postman|post |posted |postage|tracking|depot|warehouse|order |orders |ordered |arriv|dispatch|doorstep|porch|mailbox|box |boxes |carton|customs|slot |collect|pickup|missing |late |early |transit|postcode|address|receiv|movers |express |carrier|stock|backorder|returns |returned ',
    staff:
      'staff|employee|manager|agent|adviser|advisor|clerk|cashier|receptionist|team |technician|engineer|plumber|mechanic|installer|assistant|colleague|representative|host |guide|service |support|helpdesk|secretary|teller|owner|people |guy |lady |woman |man |lass |bloke|rude|polite|friendly|patiently |helpful|unhelpful|kind |kindest |courteous|attitude|smile|smiled |apologi|sorry ',
    contact:
      'call |called |calls |calling |phoned |rang |ring |hung |hold |queue|email|emails |mail |chat |chatbot|bot |bots |reply|replied|replies |answer|respon|contact|complain|ticket|claim |claims |letter|message|appointment|hotline|helpline|line |branch|desk |counter|warranty|speak |spoke |talk|explain|resolved |solved |sorted |script|transferred |number ',
    screen:
      'app |apps |website|site |web |page|login|log |logged |password|account|server|update|updates |software|interface|ui |menu |button|setting|setup|set |checkout|notification|bug |bugs |buggy |download|browser|sync|bluetooth|wifi|pair |pairing |install|uninstall|click|tap |taps |search|form |manual|instruction|intuitive|easy |simple |confusing|crashes |freez|froze |lag |laggy|font|screen|display|remote|code |scans |profile|device|offline|connect|wizard|feature|mode |subtitle|calendar|reset|layout|option|assembl|fiddly|lid ',
    money:
      'price|pric|cost|fee |fees|bill |bills |billed |invoice|euro|pound|dollar|cent |cents |quid|bucks|tenner|fiver|money|wallet|discount|deal |deals |cheap|expensive|charge |charged |charges |overcharg|bank|budget|subscription|rate |rates|pay |paid |pays |payment|refund|voucher|coupon|cashback|bargain|value |worth |sale |offer |afford|save |saved |saves |saving|quote|deposit|insurance|premium|instal?ment|vat |tax |debit|loyalty|points |ripoff|robbery|overpriced|fortune|steal |percent|free |tariff|contract|plan |plans |gift ',
    relief:
      'reliev|relief|sooth|calm|heal|cure|ease|eases |vanish|disappear|gone |clear|cleared |gentle|help|helps |helped |protect|prevent|against |history|better |saved |safe |saviour|lifesaver|miracle|works |worked |wonders|away |settled|recover|improv|painless|memory |lower |normal ',
    praise:
      'great|good |excellent|amaz|awesome|love |loved |loves |lovely |luv |adore|perfect|wonderful|fantastic|brilliant|beautiful|happy |pleased|delight|thrill|satisf|recommend|best |nice |superb|stunning|gorgeous|elegant|impress|thank|thanks |ta |cheers |bravo|legend|star |stars |treat |joy |heaven|divine|delicious|tasty|fresh |comf|reliable|quick |fast |smooth|glad |proud|favou?rite|top |fab |spoton|flawless|exceed|surprise|charm|magic|treasure|dream|congrat|enjoy|fun |well |buzzing |banging |slick |chuffed|mint |hats ',
    blame:
      'bad |badly |terrible|awful|horrible|horrid|dreadful|worst|worse |poor|disappoint|useless|rubbish|garbage|junk|trash|crap|shoddy|shambles|joke |waste|wasted |broken |faulty|defect|wrong |annoy|angry |furious|disgust|gross |vile |ridiculous|unaccept|nightmare|hate |hated |pathetic|ugly |boring|dull |regret|avoid|never |scam|con |shame|unfortunately|sadly |ruined |stupid|fail|failed |fails |mess |messy |slow |cold |stale |dry |soggy|greasy|dirty |filthy|stink|smelly |sucks |meh |naff |dire |ignored |lost |unusable',
    outing:
      "concert|show |film|movie|museum|hotel|holiday|trip |garden|beach|pool |gym |club|band |music|event|festival|party |school|teacher|kids' |street|shop |store|company|firm |business|newsletter|advert|ads |ad |advertis|logo|brand |podcast|website |survey|catalogue|parking|queue |opening |hours |toilet|view |family |birthday|christmas|neighbourhood|member|charity|tree |vegetarian|policy|data |packaging ",
  },
  es: {
    negation: 'no |ni |nunca |jamas |nada |nadie |sin |ningun|tampoco |apenas |cero |dejo |dejaron ',
    doubt:
      'puedo |puede |pueden |podria|si |que |cual|como |cuant|cuando |donde |quien|hay |es |son |seria|sirve|vale |seguro |segura |apto |apta |riesgo|existe|alguien |algun|tienen |tiene |hacen |lleva |dicen |dice |lei |noticias |quisiera|quiero |gustaria|ojala|suelo |antes ',
    since:
      'desde |tras |despues |luego |minuto|hora |horas |dia |dias |semana|mes |meses |noche|manana|ayer |enseguida |inmediat|hasta |hace |empece|empezo|empezar|comenc|cuando |ahora |sigo |sigue |cada |primer|segund|todavia |aun ',
    cause:
      'dio |da |dan |dieron |dejo |deja |dejan |hizo |hace |hacen |provoc|caus|produj|produce|puso |pone |ponen |salio |salieron |sale |salen |tuve |tuvo |tengo |tiene |siento |senti|noto |note |acabe|acabo |acabamos|termin|culpa |por |sento |sienta |quede |quedo |agarr|pille|perdi|perdio|desperte|amaneci|levante|informo|notifico|refiere ',
    body: 'mano|brazo|cara |pierna|cuello|dedo|deditos|pulgar|pie |pies |ojo|parpado|pestan|ceja|labio|lengua|cabeza|cabelludo|pecho|garganta|tobillo|piel |muneca |codo |rodilla|hombro|espalda|columna|nariz|boca|encia|diente|muela|mandibula|estomago|barriga|tripa|vientre|panza|intestin|vejiga|oreja|oido|corazon|pulmon|higado|rinon|costilla|cadera|palma|frente|mejilla|barbilla|muslo|espinilla|pantorrilla|gemelo|talon|musculo|hueso|cerebro|pelo |cabello|sangre|antebrazo|pulso|axila|nudillo|una |unas |orina|heces|ingle|nervio|ligamento|tendon|clavicula|craneo|utero|jeta |coxis',
    being:
      'yo |me |nos |mi |mis |hijo|hija|mujer|marido|esposo|esposa|madre|padre|mama |papa |bebe|nino|nina|ninos|nene|nena|recien|crio|peque|abu |abuel|nieto|nieta|herman|sobrin|suegr|amig|companer|vecin|pareja|paciente|residente|perr|gat[oa]|cachorr|conejo|mascota|gemel|tio |tia |invitad|caballo|gallina|ternero|loro |hamster|cobaya|le |les |se ',
    symptom:
      'picor|picaz|pica |pican |picaba|escoc|escuec|arde |ardor|ardia|hinch|inflam|inflama|sarpull|roncha|urticaria|brot|ampolla|vomit|devolv|echar |nause|asco |mareo|marea|mare|desmay|enferm|malo |mala |malestar|indispuest|descompos|atontad|adormil|somnol|sueno |pitos |tos |toser|asma|asfix|respir|fiebre|escalofr|sudor|sudar|temblor|tiembl|temblar|dolor|duel|dolio|dolia|cabeza |jaqueca|migrana|calambr|retortij|colico|entumec|dormid|hormigue|convuls|ataque|alergi|anafil|reaccion|infec|hongo|ulcera|forunculo|grano|acne|eczema|dermatitis|psoriasis|rojez|rojece|colorad|irrit|viva |llaga|costra|pela |pelaba|pelado|diarrea|estren|gases|acidez|reflujo|indigest|palpit|taquicard|pitido|zumbid|borros|nubl|vision|vista |ciego|insomnio|pesadill|alucin|confus|olvid|ansied|panico|depres|suicid|llor|triste|paraliz|derrame|ictus|infarto|sangr|hemorrag|aborto|contraccion|ictericia|amarill|debil|cansad|agotad|kilos |caida |cae |sintoma|efecto|advers|toxic|veneno|intoxic|salmonel|sobredosis|flacid|palid|morad|azul |picadura|picaron ',
    accident:
      'quem|escald|chamusc|abras|cort[oea]|rebano|raj[oe]|clav|aplast|machac|pellizc|pill[oe]|atrap|herid|hiri|lesion|lastim|morat|moreton|cai |cayo|caer|caida|resbal|tropec|tropez|tir[oó] |golpe|golpeo|estrell|choque|choco |choc[oa]|rompi|partio|fractur|torci|esguinc|desgarr|conmocion|arana|astill|puntos |ahog|atragant|asfixi|estrang|trag[oó]|trago |bebio |comio |descarga|corriente |electrocut|calambrazo|muri|muert|mata |mato |matar|cicatri|accident|atropell|mord',
    hazard:
      'fuego|incend|llama |llamas |humo|chispa|chispea|derrit|derret|explot|estall|revent|sobrecalient|calient|hierve|hirvi|ardi|gas |gases |fuga|monoxido|moho|gusano|insecto|vidrio|cristal|metal |aguja|tornillo|afilad|suelt[oa]|solt|cedio|partid|doblo|dobl|abombad|deform|inestable|insegur|peligr|retirad|freno|frena|correa|anclaje|arnes|cierre|cerradura|protecci|cable |cables |pelad|enchufe|silb|podrid|contamin|lejia|acido|quimic|plomo|alarma|volc|pleg|avispa|chinche',
    care: 'hospital|urgencias|ambulancia|medic[oa] |doctor|uci |emergencia|cirujan|quirof|operacion|enfermer|veterinari|clinica|dentista|matrona|farmac|gotero|suero|adrenalina|bombero|ingres|diagnost|analisis|tratad|reanim',
    remedy:
      'pastilla|pastis|comprimid|capsula|jarabe|gotas |inyeccion|pinchazo|vacuna|refuerzo|inhalador|pomada|unguento|parche|medicament|medicina|medicacion|farmaco|antibiotico|dosis|toma |suplement|vitamina|insulina|estatina|analgesico|infusion|tratamiento|receta|corticoide|cortisona|anticoncep|laxante|antihistam|remedio|terapia|quimio|tirita|venda|aposito|implante|marcapasos|lentilla|alineador|ferula|audifono|prospecto|mg ',
    taken:
      'crema|locion|champu|acondicionador|jabon|serum|rimel|desodorante|protector|perfume|mascarilla|tinte|decolor|labial|brillo |balsamo|gel |cera |toallita|panal|pasta |enjuague|espray|spray|tonico|hidrat|maquillaje|base |henna|tatuaje|peeling|detergente|suavizante|limpia|repelente|aceite|polvo|collar ',
    food: 'comida|comi |cena |almuerzo|menu |pollo|ensalada|zumo|jugo|yogur|sopa|chocolate|queso|pescado|marisco|ceviche|bebida|te |cafe|leche|pan |potito|papilla|cereal|salsa|vino |cerveza|hamburgues|burger|pizza|carne|filete|curry|pastel|tarta|fruta|arroz|bocadillo|torta|taco|huevo|nuez|nueces|cacahu|frutos|gluten|vegan|sabe |sabor|sabia |restaurante|camarer|meser|mozo |croqueta|pienso|receta |mermelada|miel|tomate|empanada|rico |rica ',
    part: 'calidad|material|tela |tejido|plastico|cuero|madera|acero|pintura|color|tono |talla|tamano|costura|cremallera|asa |mango|tapa |rueda |pata |bisagra|cajon|sonido|suena|graves |imagen|foto|ruido|silencios|motor|bateria|potencia|huele|olor|acabado|pesa |peso |grosor|suave |resistente|endeble|solid|cojea|dura |duro |duran |destin|encog|oxid|gastad|desgast|filo |fabricado|modelo|version |repuesto|suela',
    device:
      'cargador|movil|celular|telefono|portatil|laptop|hervidor|tetera|tostadora|estufa|calefactor|calefon|horno|plancha|batidora|licuadora|lampara|bombilla|foco |patinete|patin |bici|coche|carro|auto |carrito|cuna|silla|sillon|sofa|juguete|escalera|maquina|taladro|sierra|impresora|auricular|audifonos|altavoz|parlante|aspiradora|nevera|heladera|refri|casco|llanta|ventilador|sarten|olla|cuchillo|cuchilla|colchon|cama |almohada|manta|mesa|estante|camara|tele |router|modem|reloj|termostato|radio|grifo|vela |parrilla|barbacoa|caldera|secador|lavadora|lavavajillas|columpio|freidora|microondas',
    garment:
      'zapat|bota |botas |zapatilla|tenis |calcetin|camisa|camiseta|playera|jersey|sueter|chaqueta|chamarra|abrigo|vestido|pantalon|falda|gorro|guante|bolso|mochila|anillo|pulsera|cortina|toalla|sabana|edredon|cojin|alfombra|bufanda|pijama|malla',
    delivery:
      'entrega|entreg|envio|envi[eao]|paquete|paqueteria|embal|empaquet|envuelt|mensajer|repartidor|reparto|transport|cartero|correos|rastreo|seguimiento|deposito|almacen|bodega|pedido|pedi |llego |llega |llegar|despach|portal|buzon|caja |cajas |bulto|carton|aduana|franja|recog|recojo|falta |faltan |faltaban |tarde |plazo|direccion|recib|mudanza|urgente|existencias|devolu|domicilio|puntual',
    staff:
      'personal|emplead|encargad|gerente|agente|asesor|dependient|cajer|recepcion|equipo |tecnico|fontanero|plomero|mecanic|instalador|companera|anfitrion|guia |servicio|atencion|soporte|secretari|duen|gente |chico |chica |senor|senora|senorita|chavo|pibe|amable|amabilidad|educad|maleducad|groser|simpatic|servicial|atent|paciencia|trato |trat[ao]|sonris|disculp|perdon',
    contact:
      'llam[eoa]|llame |llamada|llamo |llaman|colg[oa]|colgaron|espera |cola |fila |correo|mail |email|chat |bot |robot|respond|respuest|contest|contact|reclam|queja|caso |carta |mensaje|cita |linea|sucursal|oficina|mostrador|ventanilla|taquilla|garantia|hablar|hable |hablo|explic|resuelt|resolv|solucion|guion|pasaron |numero |siniestro|parte ',
    screen:
      'app |aplicacion|web |pagina|sitio|contrasena|clave |cuenta |servidor|actualiz|software|interfaz|menu|boton|ajuste|configur|notifica|aviso|bug|error|descarg|navegador|sincron|bluetooth|wifi|empareja|instal|desinstal|clic|toque|buscador|busco|formulario|manual|instruccion|intuitiv|facil|sencill|confus[oa]|cuelg|congel|traba |trabo|letra |pantalla|mando|control |codigo|escanear|perfil|conect|funcion |modo |subtitul|calendario|reinici|montar|montaje|complicad',
    money:
      'precio|cuesta|cuestan|costo |coste|cost[oa]|tarifa|comision|factur|euro|peso |pesos |sol |soles |dolar|centimo|dinero|plata |pasta |lana |cartera|bolsillo|descuento|oferta|promo|barat|caro |cara |carisim|cobr|recargo|banco|presupuesto|suscripcion|cuota|pag[oaue]|reembols|reintegr|devolvieron |cupon|vale |ganga|chollo|rebaja|ahorr|fianza|senal |seguro |prima |plazos|iva |impuesto|recibo|puntos |timo|estafa|robo |cuenta|gratis|contrato|plan |regal|abono|valor|gasto|inflad',
    relief:
      'alivi|calm|cur[oa]|sana|sano |quit[oóa]|desapare|fue |acab|protege|proteg|previen|evita|contra |suave|ayud|mejor|adios|salv|milagr|santo |maravilla|funciona|baj[oó]|cicatriz|recuper|indolor|normal|libr[oe]|resuelt',
    praise:
      'genial|buen|excelent|increibl|encant|amo |adoro|perfect|maravill|fantastic|brillant|bonit|preci?os[oa]|feliz|content|satisf|recomiend|mejor |mejores |lindo|linda |estupend|magnific|hermos|elegant|impresion|gracias|agradec|bravo|crack|fenomeno|diez |estrella|gust[oa]|delicia|delicios|riqu|fresc|comod|fiable|rapid|volado|alegr|orgullo|favorit|top |lujo|impecable|sorpres|tesoro|sueno |enhorabuena|felici|disfrut|diver|chid|padr|chul|barbaro|joya|acierto|chapo|sol |celestial|divin',
    blame:
      'mal |mala |malo |malisim|terrible|horribl|horroros|espantos|peor|pesim|pobre|decepcion|inutil|basura|porqueria|mierda|castana|chafa|trucho|cutre|desastre|verguenza|perdid|roto |rota |defect|equivocad|molest|enfad|furios|asco|asquer|ridicul|inacept|pesadilla|odio|patetic|feo |fea |aburrid|arrepient|evit|lastima|lamentabl|arruin|estupid|falla|fallo|fall[oa]|lent|frio |fria |seco |grasient|suci|apest|bodrio|ignor|nunca |harto|harta|tampoco ',
    outing:
      'concierto|funcion|pelicula|cine|museo|hotel|vacacion|viaje|jardin|playa|piscina|gimnasio|grupo |banda |musica|evento|festival|fiesta|colegio|escuela|maestr|calle|tienda|empresa|negocio|boletin|anuncio|publicidad|logo|marca |podcast|encuesta|catalogo|aparca|estaciona|horario|bano |vista |terraza|familia|cumple|navidad|barrio|soci[oa] |arbol|vegetarian|politica|datos|plastico |planeta',
  },
  fr: {
    negation:
      "ne |n' |n'\\p{L}+ |pas |non |jamais |rien |personne |sans |aucun|ni |plus |guere |nul |nulle |cesse|zero ",
    doubt:
      "peut|pourrait|pouvez|si |s'il |que |quel|comment |combien |quand |ou |qui |quoi |existe|convient|faut|serait|risque|vendez|dit |dis|lu |infos |journal|voudrais|souhaite|aimerais|sur |sure |avant |souvent ",
    since:
      'depuis |apres |minute|heure|jour|jours |semaine|mois |nuit|matin|hier |lendemain|aussitot |immediat|jusqu|commence|debut|des |maintenant |encore |toujours |chaque |premier|deuxieme|second|quand |ensuite |puis ',
    cause:
      "m'a |m'ont |l'a |lui |donne|laisse|provoqu|caus|declench|fait |rend|rendu|mis |mise |met |eu |ai |j'ai |ressen|sens |senti|remarqu|fini |finir|retrouv|suis |cause |faute |attrap|chop|perdu|perds |reveil|signal|declar|rapporte|pris ",
    body: 'main |mains|bras |visage|figure |jambe|cou |doigt|pouce|pied|orteil|oeil|yeux|zieux|paupiere|cils|sourcil|arcade|levre|langue|crane|chevelu|poitrine|gorge|cheville|peau |poignet|coude|genou|epaule|dos |colonne|tete |nez |bouche|gueule |gencive|dent |dents|molaire|machoire|estomac|ventre|bide|tripes|intestin|vessie|oreille|coeur|poumon|bronche|foie|rein |reins|cote |cotes|hanche|paume|ongle|front |joue|menton|cuisse|tibia|mollet|talon|muscle|os |cerveau|cheveu|sang |pouls|aisselle|phalange|urine|selles|aine |nerf|ligament|tendon|clavicule|uterus|coccyx|tronche',
    being:
      "je |j'|nous |on |moi |mon |ma |mes |fils |fille|femme|mari |epou|mere|pere|maman|papa|bebe|enfant|gosse|gamin|petit |petite |mamie|meme |papi|frere|soeur|neveu|niece|ami |amie|collegue|voisin|compagn|patient|resident|chien|chat |chatte|chiot|lapin|jumeau|jumel|oncle|tante|invite|cheval|poule|veau|perroquet|hamster|cochon|il |elle ",
    symptom:
      'demange|gratt|picot|pique|piquait|gonfl|enfl|oedeme|plaque|urticaire|eruption|cloque|vomi|nause|gerb|degueul|malade|malaise|vertige|etourd|evanou|connaissance|barbouill|somnol|endormi|groggy|assomm|siffl|tou[sx]|asthm|souffle|respir|etouff|suffo|fievre|fievreux|frisson|sueur|transpir|trembl|douleur|mal |maux|migraine|crampe|spasme|colique|engourd|fourmi|convuls|crise|allerg|anaphyl|reaction|reagi|infect|mycose|ulcere|furoncle|bouton|acne|eczema|dermat|psoria|rouge|rougeur|irrit|vif |croute|pele|pelait|diarrhee|courante|constip|ballonn|reflux|acidite|aigreur|digest|palpit|acouphene|bourdon|trouble|flou|vue |aveugle|insomni|cauchemar|hallucin|confus|oubli|anxie|angoiss|panique|deprim|suicid|pleur|triste|paralys|avc |infarctus|saign|hemorrag|fausse|contraction|jaunisse|jaune|faible|fatigu|epuis|kilos |symptome|effet|indesirable|toxi|poison|empoison|intoxi|salmonel|surdos|pale|bleu |piqure|mordu |zona|courbatur',
    accident:
      'brul|ebouillant|roussi|cram[eé]|coup[eé]|entaill|tranch|ouvert |ecras|broy|pinc|coinc|bless|bleus |tomb|chute|gliss|trebuch|renvers|projet|cogn|heurt|choc |percut|cass[eé]|fractur|tordu|foul[eé]|entors|dechir|commotion|griff|echarde|points |noy|etrangl|aval[eé]|bu |mang[eé]|decharge|electrocut|electris|courant |chataigne|jus |mort |morte|mouru|tue |tuer|cicatri|accident|mordu|ramass',
    hazard:
      'feu |incend|flamb|flamme|fume|fum[eé]|etincel|fondu|fond |fondre|explos|explose|eclat|surchauff|chauff|brulant|bouill|gaz |fuite|monoxyde|moisi|asticot|insecte|verre |metal |aiguille|vis |boulon|tranchant|coupant|detach|decroch|lach[eé]|cede|casse |plie|bomb|deform|instable|danger|rappel |rappele|frein|sangle|attache|harnais|loquet|verrou|protection|fil |fils |denud|prise |siffle|pourri|contamin|javel|acide|chimiqu|plomb|alarme|detecteur|bascul|repli|guepe|punaise',
    care: 'hopital|hospital|urgences|samu |ambulance|medecin|docteur|chirurg|operation|opere|infirmi|veterinaire|clinique|dentiste|pharmac|perfusion|adrenaline|pompier|admis|diagnos|analyse|soign|reanim',
    remedy:
      'cachet|cacheton|comprime|gelule|sirop|gouttes|injection|vaccin|rappel |inhalateur|pommade|onguent|patch|medicament|medoc|traitement|antibio|dose|prise |complement|vitamine|insuline|statine|antidouleur|tisane|ordonnance|cortisone|cortico|pilule|laxatif|antihistam|remede|therapie|chimio|pansement|bande |bandelette|implant|pacemaker|stimulateur|lentille|gouttiere|attelle|auditif|notice|mg ',
    taken:
      'creme|lotion|shampo|savon|serum|mascara|deodorant|solaire|parfum|masque|teinture|decolor|gloss|baume|gel |cire|lingette|couche|dentifrice|spray|tonique|hydrat|maquill|henne|tatou|peeling|lessive|assouplis|nettoy|repulsif|huile|poudre|collier ',
    food: 'repas|dejeuner|diner |souper|menu |poulet|salade|jus |yaourt|soupe|chocolat|fromage|poisson|moules|boisson|the |cafe|lait|pain |puree|compote|cereale|sauce|vin |biere|burger|pizza|viande|steak|curry|gateau|tarte|fruit|riz |sandwich|oeuf|noix|cacahu|arachide|gluten|vegan|gout |saveur|restaurant|serveu|croquette|recette|confiture|miel|tomate|tourte|delicieu|addition',
    part: 'qualite|matiere|tissu|plastique|cuir|bois|acier|peinture|couleur|teinte|taille|couture|fermeture|anse|poignee|couvercle|roue |pied |charniere|tiroir|son |basses|image|photo|bruit|silencieu|moteur|batterie|puissance|sent |odeur|finition|poids|epais|doux|douce|solide|fragile|bancal|dure |durable|deteint|retreci|rouill|use |usee|lame |fabriqu|modele|version|piece|semelle',
    device:
      'chargeur|telephone|portable|ordinateur|bouilloire|radiateur|poele|four |fer |mixeur|blender|lampe|ampoule|cable|trottinette|velo|voiture|poussette|lit |berceau|siege|jouet|chaise|fauteuil|canape|echelle|escabeau|machine|perceuse|scie|imprimante|casque|ecouteur|enceinte|aspirateur|frigo|congel|pneu|ventilateur|casserole|marmite|couteau|matelas|oreiller|couverture|table|etagere|tente|camera|tele|box |routeur|montre|thermostat|radio|robinet|bougie|barbecue|chaudiere|trampoline|balancoire|friteuse|tondeuse',
    garment:
      'chaussure|chosure|botte|basket|soulier|chaussette|chemise|pull |veste|manteau|robe |pantalon|jean|jupe|bonnet|gant|sac |bague|collier|rideau|serviette|drap|couette|coussin|moquette|tapis|echarpe|pyjama|legging',
    delivery:
      'livr|colis|paquet|expedi|envoi|envoy|emball|coursier|facteur|transport|poste |suivi|depot|entrepot|commande|command|arriv|recu|recept|carton|douane|creneau|retrait|relais|manqu|retard|avance |delai|adresse|demenag|express|rupture|retour|stock|ponctuel|palier|porche',
    staff:
      'personnel|employe|responsable|gerant|directeur|agent|conseill|vendeu|caissi|accueil|receptionn|equipe|technicien|reparateur|plombier|garagiste|installateur|hote |guide|service|support|sav |secretaire|patron|gens |dame |monsieur|mec |gars|aimable|amabilite|gentil|poli |polie|impoli|desagreab|sympa|serviabl|attenti|patience|sourire|excus|desole',
    contact:
      'appel|rappel|rappele|raccroch|attente|file |queue |courriel|mail |mails |chat |robot |bot |repon|reponse|contact|reclam|plainte|dossier|lettre|courrier|message|ligne |agence|guichet|comptoir|garantie|parl[eé]|parler|expliqu|resolu|regle |solution|script|transfer|numero|standard|sinistre',
    screen:
      'appli|site |page|passe |compte |serveur|maj |logiciel|interface|menu|bouton|reglage|parametre|configur|notification|alerte|bug|bogue|erreur|telecharg|navigateur|synchron|bluetooth|wifi|appair|install|desinstall|clic|recherche|formulaire|notice|mode |manuel|intuitif|facile|simple|confus|plant[eé]|fige|rame|lag |ecran|telecommande|code |scan|profil|connect|fonction|agenda|reinitial|montage|compliqu|onglet|caracter|police',
    money:
      'prix|cout|coute|tarif|frais|factur|euro|franc|dollar|centime|argent|thune|portefeuille|remise|reduc|promo|solde|cher |chere|banque|budget|abonnement|prelev|debit|paye|payer|paiement|rembours|bon |coupon|aubaine|affaire|economi|caution|arrhes|assurance|prime |franchise|ttc |taxe|recu |points |arnaque|escroqu|vol |gratuit|contrat|formule|cadeau|offre|valeur|vaut |depens|hausse|augment|loyer|penalite|devis|supplement',
    relief:
      'soulag|apais|calm|gueri|disparu|parti |partie|envol|protege|evite|empech|contre |aide |aider|mieux|fini |adieu|sauve|miracle|merveille|marche |efficace|baiss|cicatris|remis |indolore|normal|debarrass|ote |ameli|tombe |soign|tranquille',
    praise:
      'genial|bon |bonne|excellent|incroyable|adore|aime |parfait|merveill|fantastique|brillant|beau |belle|joli|heureu|content|satisf|recommand|meilleur|super|superb|magnifi|splendid|elegant|impression|merci|bravo|crack|perle|top |etoile|plais|delic|frais |fraich|confort|fiable|rapid|ravi|fier|fiere|prefere|luxe|impeccab|nickel|surprise|tresor|reve|felicit|profit|amus|chapeau|boss|cool|stylé|style|tuerie|divin|malin|douceur|charmant',
    blame:
      'mauvais|terribl|horribl|affreu|pire|nul |nulle|pietre|decev|decu|decue|inutil|poubelle|camelote|daube|merde|pourri|honte|gach|perdu |casse|defaut|defect|faux|enerv|fache|furieu|degout|ridicul|inaccept|cauchemar|deteste|patheti|laid|moche|ennuy|regret|evit|dommage|helas|malheureu|ruin|stupid|panne|rate |lent|froid|sec |seche |gras|sale |pue |puait|navet|ignor|jamais |marre|bof',
    outing:
      'concert|spectacle|film|cinema|musee|hotel|vacance|voyage|jardin|plage|piscine|salle |groupe |musique|evenement|festival|fete|ecole|classe|enseignant|rue |magasin|boutique|societe|entreprise|maison |infolettre|newsletter|pub |publicite|logo|marque |balado|podcast|sondage|questionnaire|catalogue|parking|garer|horaire|toilettes|vue |terrasse|famille|anniversaire|noel|quartier|adherent|arbre|vegetarien|politique|donnees|planete',
  },
};
